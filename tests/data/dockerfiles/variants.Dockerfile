# syntax=docker/dockerfile:1
# A compile stage and two variants that copy from it.
ARG BUILDER_IMAGE=rust:1-bookworm

FROM --platform=$BUILDPLATFORM ${BUILDER_IMAGE} AS builder
ARG TARGETARCH
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    cargo build --release --target="$(cat /target-$TARGETARCH)"

FROM debian:bookworm-slim AS claude
ENV HOME=/home/app LANG=C.UTF-8
COPY --from=builder --chown=app:app /src/target/release/app /usr/local/bin/
RUN mkdir -p ~/.claude && chown -R app ~/.claude
USER app
ENTRYPOINT ["/usr/local/bin/app"]

FROM debian:bookworm-slim AS codex
COPY --from=builder /src/target/release/app /usr/local/bin/
CMD app --help
