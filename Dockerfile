# The service. It uses the database of DATABASE_URL, or an embedded one in /data.

# Installs the packages and generates the database client, then removes what only that needed.
FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
COPY scripts scripts
COPY prisma prisma
COPY src src
RUN node scripts/prepare.mjs --production \
  && npm uninstall --omit=dev --ignore-scripts --no-audit --no-fund node @prisma/client-generator-ts @prisma/internals \
  # Prisma's other query compilers, and the compiler that npm takes for a need of @prisma/client.
  && find node_modules/@prisma/client/runtime -name 'query_compiler_*' ! -name 'query_compiler_small_bg.postgresql.*' -delete \
  && rm -rf node_modules/typescript node_modules/@typescript

FROM node:24-slim
# Beyond loopback the service starts only with TLS_CERT and TLS_KEY, or with BEHIND_PROXY=true.
# Whoever runs the image decides which.
ENV NODE_ENV=production HOST=0.0.0.0 DATA_DIR=/data
# tini is the first process of the container, and reaps what commands leave behind.
RUN apt-get update && apt-get install -y --no-install-recommends tini && rm -rf /var/lib/apt/lists/* \
  && install -d -o node -g node -m 700 /data
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/prisma prisma
COPY --from=build /app/src src

USER node
VOLUME /data
EXPOSE 8081
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["node", "-e", \
  "const { PORT, TLS_CERT } = process.env; if (TLS_CERT) process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'; fetch(`${TLS_CERT ? 'https' : 'http'}://127.0.0.1:${PORT || 8081}/readyz`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["tini", "--"]
CMD ["node", "src/main.ts"]
