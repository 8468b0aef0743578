# The service. Its database is that of DATABASE_URL, or an embedded one in /data.
FROM node:24-slim
# Beyond loopback it starts only with TLS_CERT and TLS_KEY, or with BEHIND_PROXY=true: that is for whoever runs it to say.
ENV NODE_ENV=production HOST=0.0.0.0 DATA_DIR=/data
# The first process of a container is to reap what commands leave behind.
RUN apt-get update && apt-get install -y --no-install-recommends tini && rm -rf /var/lib/apt/lists/*
WORKDIR /app

COPY package.json package-lock.json ./
RUN npm ci --omit=dev && npm cache clean --force
COPY prisma.config.ts ./
COPY prisma prisma
COPY src src
RUN npx prisma generate && install -d -o node -g node -m 700 /data

USER node
VOLUME /data
EXPOSE 8081
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["node", "-e", \
  "const { PORT, TLS_CERT } = process.env; if (TLS_CERT) process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'; fetch(`${TLS_CERT ? 'https' : 'http'}://127.0.0.1:${PORT || 8081}/readyz`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["tini", "--"]
CMD ["node", "src/main.ts"]
