# Builds the server, then keeps only the program, the application and the configuration.

FROM rust:1.95-slim-trixie AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends build-essential pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
RUN cargo build --release --locked --bin lycosa

FROM debian:trixie-slim
RUN useradd --system --create-home --home-dir /srv/lycosa lycosa
COPY --from=build /build/target/release/lycosa /usr/local/bin/lycosa
RUN ln -s lycosa /usr/local/bin/tarantool
WORKDIR /srv/lycosa
COPY --chown=lycosa lua lua
COPY --chown=lycosa config.yaml instances.yml ./
USER lycosa
# The data: log and snapshots.
VOLUME /srv/lycosa/var
EXPOSE 6379
STOPSIGNAL SIGTERM
ENTRYPOINT ["lycosa"]
