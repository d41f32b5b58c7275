"""`learning-machine migrate`: bring a database to this version's schema."""

from typing import Annotated

import typer

from learning_ops.cli.option import examples, prose


def migrate(
    revision: Annotated[
        str, typer.Option(help="Stop at this revision; an older one than the database has goes back.")
    ] = "head",
) -> None:
    """Make the database roles and tables, or bring them to this version. Run it before anything else is started.

    Connects with LEARNING_OWNER_DATABASE_URL. The roles learning_app and learning_dispatcher get the passwords that
    LEARNING_DATABASE_URL and LEARNING_DISPATCHER_DATABASE_URL hold. Where the owner may not create roles, the SQL that does
    is printed for somebody who may, and the exit status is 1.
    """
    from sqlalchemy.engine import make_url

    from learning_ops.cli.failure import Failed, reaching_postgres, tell
    from learning_ops.extras import require_extra
    from learning_stores.database import driver_url
    from learning_stores.roles import APP, DISPATCHER
    from learning_stores.settings import ServiceSettings

    require_extra("ops", "alembic")
    from alembic.util.exc import CommandError

    from learning_ops.migration import RolesMissing
    from learning_ops.migration import migrate as run_migrations

    settings = ServiceSettings.load()
    owner_url = settings.owner_database()
    driver_url(owner_url, "owner_database_url")
    given = {APP: settings.database_url, DISPATCHER: settings.dispatcher_database_url}
    urls = {role: secret.get_secret_value() for role, secret in given.items() if secret is not None}
    # A login of another name is the operator's own: its password is nothing that a role of ours should have.
    logins = {role: url for role, url in urls.items() if make_url(driver_url(url)).username == role}
    try:
        with reaching_postgres(owner_url, "LEARNING_OWNER_DATABASE_URL"):
            before, after = run_migrations(owner_url, logins, revision)
    except RolesMissing as missing:
        tell(
            "The database lacks roles and this user may not create them. Run the SQL on stdout as one who may, "
            "with a password in place of each …, then migrate again."
        )
        typer.echo("\n".join(f"{statement};" for statement in missing.statements))
        raise typer.Exit(1) from None
    except CommandError as error:
        raise Failed(f"{error}. `--revision head` is this version's") from None
    for role in (APP, DISPATCHER):
        if role not in logins:
            typer.echo(
                f"no URL of {role} is set: if it was made now, it cannot log in until it is given a password", err=True
            )
    typer.echo(
        f"schema is at {after or 'nothing'}"
        + (" (as before)" if before == after else f" (before: {before or 'nothing'})")
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=prose(migrate), epilog=examples("migrate", "migrate --revision v0001"))(migrate)
