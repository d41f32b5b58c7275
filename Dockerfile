# One image for migrate, dispatcher, workers, beat and Flower: docker-compose.yml gives each its command.

FROM python:3.13.14-slim-trixie AS build

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY schemas ./schemas
COPY stores ./stores
COPY producer ./producer
COPY workers ./workers
COPY ops ./ops

# The build backend is locked too, so it is installed first and used without isolation.
RUN pip install -c constraints.txt hatchling \
 && pip wheel --no-build-isolation --no-deps --wheel-dir dist .

# The environment that is shipped has no pip in it. Wheels only: nothing is compiled here, so no compiler is needed.
RUN python -m venv --without-pip /opt/learning \
 && pip --python /opt/learning/bin/python install --only-binary :all: -c constraints.txt "$(echo dist/*.whl)[ops]"


FROM python:3.13.14-slim-trixie

RUN groupadd --gid 10001 learning \
 && useradd --uid 10001 --gid learning --no-create-home --home-dir /var/lib/learning --shell /usr/sbin/nologin learning \
 && install --directory --owner=learning --group=learning --mode=0700 /var/lib/learning

COPY --from=build /opt/learning /opt/learning

ENV PATH=/opt/learning/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER learning
WORKDIR /var/lib/learning
CMD ["learning-machine", "--help"]
