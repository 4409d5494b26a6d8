# The tests' workload, for kind; VM nodes get the same from make-images.sh.
ARG BASE=python:3.13-slim-trixie
ARG BUILD_BASE=${BASE}
FROM ${BUILD_BASE} AS build
RUN command -v gcc || { apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev; }
COPY load.c .
RUN gcc -O2 -static -s -o /usr/local/bin/load load.c
FROM ${BASE}
COPY --from=build /usr/local/bin/load /usr/local/bin/load
CMD ["load"]
