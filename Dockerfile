# make image builds this: a static program, on nothing.
FROM scratch

LABEL org.opencontainers.image.title="Relay" \
      org.opencontainers.image.description="Puts servers online that cannot be reached" \
      org.opencontainers.image.source="https://github.com/seed96252745/relay" \
      org.opencontainers.image.licenses="Apache-2.0"

# The authorities that vouch for relays and for Let's Encrypt.
COPY bin/image/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY bin/image/LICENSE /LICENSE
COPY bin/image/relay /usr/bin/relay

# Leases, keys and certificates, and the socket of relay status. It is empty, and the user's.
COPY --chown=65532:65532 bin/image/state /var/lib
ENV RELAY_STATE_DIR=/var/lib/relay
VOLUME /var/lib/relay

# As in the images of distroless, where this is called nonroot.
USER 65532:65532

# The control port that the pages have. Public ports are for you to publish: there are 10000.
EXPOSE 8080

# Whether it answers, and not whether all is well: a forwarder whose local server is down has to
# be left alone.
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s CMD ["/usr/bin/relay", "alive"]

ENTRYPOINT ["/usr/bin/relay"]
