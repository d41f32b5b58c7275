"""What deduplicate and contradictions make of planted pairs: what normalisation leaves, what is asked, and what erring costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.curation.corpus import Corpus, alone, made_of
from benchmarks.curation.upkeep import ErringJudge, Upkeep, upkeep_of
from benchmarks.retrieval.dataset import Conversation, Memory
from benchmarks.retrieval.figures import Answer, judged, recall_at_10
from benchmarks.retrieval.memory import STORE, Ranker, fill, scope_of
from harness import Place
from learning_stores.ranking import DEFAULT_WEIGHTS

WRONG = (0.0, 0.05, 0.2)
KIND = "observations"
_SCOPE = scope_of(KIND)
# The learnings are a user's, as those of a user_profile are: their mailbox is held while they are rewritten.
_OWNED = "UPDATE learning.learning SET user_id = %s WHERE scope = %s"


@dataclass(kw_only=True)
class Judged:
    """All conversations together, with a judge that errs on so many of the pairs."""

    share: float
    asked: int = 0
    wrong: int = 0
    merged: int = 0
    doubles: int = 0
    lost: int = 0
    contradicted: int = 0
    ended_rightly: int = 0
    ended_wrongly: int = 0
    revived: int = 0
    restored: int = 0
    differs: int = 0


def run(console: Console, place: Place, conversations: Sequence[Conversation]) -> bool:
    """Print it; whether a judge that never errs loses no fact, and undo restores every fact whatever the judge said."""
    corpora = {share: [made_of(each, f"{each.name} {share}") for each in conversations] for share in WRONG}
    rules = [made_of(each, f"{each.name} rules") for each in conversations]
    once = [alone(each, f"{each.name} once") for each in conversations]
    made = [each.conversation for some in (rules, *corpora.values()) for each in some]
    fill(place.superuser_url, [*once, *made], {})
    with psycopg.connect(place.superuser_url) as connection:
        connection.execute(_OWNED, (KIND, _SCOPE))
    with upkeep_of(place, STORE) as upkeep, psycopg.connect(place.app_url) as connection:
        _candidates(console, upkeep, rules)
        recall = {"each observation once": _once(connection, once)}
        recall["three times, before"] = _recall(connection, upkeep, corpora[0.0])
        results = [_with_judge(upkeep, corpora[share], share, connection, recall) for share in WRONG]
    _print(console, results, recall)
    restored = all(
        (each.restored, each.revived, each.differs) == (each.lost, each.ended_wrongly, 0) for each in results
    )
    return results[0].lost == 0 and restored


def _candidates(console: Console, upkeep: Upkeep, corpora: Sequence[Corpus]) -> None:
    """What rules do by themselves, and which planted pairs are among the neighbours then."""
    table = Table(title="Planted, before any judge", title_justify="left")
    names = ("conversation", "facts", "loaded", "merged by writing", "doubles left", "reworded pairs asked",
             "contradictions asked", "pairs asked")  # fmt: skip  # two lines of names
    for name in names:
        table.add_column(name, justify="right")
    sums = [0] * 9
    for corpus in corpora:
        tenant = corpus.conversation.name
        loaded = len(upkeep.live(tenant))
        done = upkeep.run("deduplicate", tenant)
        live = list(upkeep.live(tenant).values())
        pairs = upkeep.candidates(tenant, _SCOPE)
        facts = [{corpus.fact_of[pair.older.content], corpus.fact_of[pair.newer.content]} for pair in pairs]
        duplicates = {fact for each in facts if len(each) == 1 for fact in each}
        reworded = sum(corpus.fact_of[one] in duplicates for one, _ in corpus.reworded)
        denied = [{corpus.fact_of[one], corpus.fact_of[other]} for one, other in corpus.contradicted]
        contradicted = sum(each in facts for each in denied)
        row = (
            len(corpus.facts), loaded, done.changed, corpus.doubles(live), reworded, len(corpus.reworded), contradicted,
            len(denied), len(pairs),
        )  # fmt: skip  # as the sums
        sums = [before + each for before, each in zip(sums, row, strict=True)]
        table.add_row(tenant.removesuffix(" rules"), *_cells(row))
    table.add_row("all", *_cells(sums), style="bold")
    console.print(table)


def _cells(row: Sequence[int]) -> tuple[str, ...]:
    facts, loaded, merged, doubles, reworded, of_reworded, contradicted, of_contradicted, pairs = row
    return (
        f"{facts:,}", f"{loaded:,}", f"{merged:,}", f"{doubles:,}",
        f"{reworded:,} of {of_reworded:,} ({reworded / of_reworded:.1%})", f"{contradicted} of {of_contradicted}", f"{pairs:,}",
    )  # fmt: skip  # a cell each


def _with_judge(
    upkeep: Upkeep,
    corpora: Sequence[Corpus],
    share: float,
    connection: psycopg.Connection,
    recall: dict[str, list[Answer]],
) -> Judged:
    found = Judged(share=share)
    runs = []
    for corpus in corpora:
        tenant = corpus.conversation.name
        before = sorted(upkeep.live(tenant).values())
        denied = {corpus.fact_of[other]: corpus.fact_of[one] for one, other in corpus.contradicted}
        judge = ErringJudge(corpus.fact_of, denied, share)
        merging = upkeep.run("deduplicate", tenant, judge)
        live = list(upkeep.live(tenant).values())
        lost = corpus.facts - {corpus.fact_of[text] for text in live}
        found.doubles += corpus.doubles(live)
        found.lost += len(lost)
        found.merged += merging.changed
        runs.append((corpus, before, lost, merging))
        found.asked += judge.asked
        found.wrong += judge.wrong
    recall[f"after, {share:.0%} wrong"] = _recall(connection, upkeep, corpora)
    for corpus, before, lost, merging in runs:
        tenant = corpus.conversation.name
        found.contradicted += _contradictions(upkeep, corpus, share, found)
        upkeep.undo(tenant, merging)
        live = sorted(upkeep.live(tenant).values())
        found.restored += len(lost & {corpus.fact_of[text] for text in live})
        found.differs += live != before
    return found


def _contradictions(upkeep: Upkeep, corpus: Corpus, share: float, found: Judged) -> int:
    """How many planted contradictions can still be seen. What the job ended is counted; then it is undone."""
    tenant = corpus.conversation.name
    denied = {corpus.fact_of[other]: corpus.fact_of[one] for one, other in corpus.contradicted}
    before = {corpus.fact_of[text] for text in upkeep.live(tenant).values()}
    done = upkeep.run("contradictions", tenant, ErringJudge(corpus.fact_of, denied, share))
    after = {corpus.fact_of[text] for text in upkeep.live(tenant).values()}
    seen = [(newer, older) for newer, older in denied.items() if {newer, older} <= before]
    found.ended_rightly += sum(older not in after and newer in after for newer, older in seen)
    wrongly = before - after - {older for _, older in seen}
    found.ended_wrongly += len(wrongly)
    upkeep.undo(tenant, done)
    found.revived += len(wrongly & {corpus.fact_of[text] for text in upkeep.live(tenant).values()})
    return len(seen)


def _recall(connection: psycopg.Connection, upkeep: Upkeep, corpora: Sequence[Corpus]) -> list[Answer]:
    answers = []
    for corpus in corpora:
        memories = {each.text: each for each in corpus.conversation.observations}
        live = upkeep.live(corpus.conversation.name)
        answers += _answers(connection, corpus.conversation, {key: memories[text] for key, text in live.items()})
    return answers


def _once(connection: psycopg.Connection, conversations: Sequence[Conversation]) -> list[Answer]:
    from benchmarks.retrieval.memory import learning_id

    return [
        answer
        for each in conversations
        for answer in _answers(
            connection,
            each,
            {learning_id(each.name, KIND, number): memory for number, memory in enumerate(each.observations)},
        )
    ]


def _answers(
    connection: psycopg.Connection, conversation: Conversation, memories: Mapping[object, Memory]
) -> list[Answer]:
    ranker = Ranker(connection, DEFAULT_WEIGHTS)
    return [
        judged(
            conversation.name,
            question,
            [memories[each] for each in ranker.best(conversation, KIND, question.text, 20)],
        )
        for question in conversation.questions
    ]


def _print(console: Console, results: Sequence[Judged], recall: Mapping[str, list[Answer]]) -> None:
    table = Table(title="With a judge, all conversations", title_justify="left")
    for name in ("wrong verdicts", "pairs", "of them wrong", "merged", "doubles left", "facts lost", "restored by undo",
                 "contradictions ended", "ended wrongly", "restored by undo"):  # fmt: skip  # two lines of names
        table.add_column(name, justify="right")
    for each in results:
        restored = f"{each.restored} of {each.lost}" + ("" if not each.differs else f", {each.differs} users differ")
        table.add_row(
            f"{each.share:.0%}", f"{each.asked:,}", f"{each.wrong:,}", f"{each.merged:,}", f"{each.doubles:,}", f"{each.lost:,}",
            restored, f"{each.ended_rightly} of {each.contradicted}", f"{each.ended_wrongly:,}",
            f"{each.revived} of {each.ended_wrongly}",
        )  # fmt: skip  # a cell each
    console.print(table)
    table = Table("recall@10", "mean", title=f"{len(next(iter(recall.values()))):,} questions", title_justify="left")
    for name, answers in recall.items():
        table.add_row(name, f"{recall_at_10(answers):.3f}")
    console.print(table)
