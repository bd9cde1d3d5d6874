# Builds Slipway as one static binary on scratch. `docker build -t slipway:0.1.0 .`
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
ENV RUSTFLAGS="-C target-feature=+crt-static"
RUN cargo build --release --locked --target "$(uname -m)-unknown-linux-gnu" -p slipway \
 && cp "target/$(uname -m)-unknown-linux-gnu/release/slipway" /slipway

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /slipway /slipway
USER 65532:65532
ENTRYPOINT ["/slipway"]
