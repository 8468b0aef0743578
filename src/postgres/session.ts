/** What every session on the database is opened with. */

/** The driver adapter sends times without an offset: they are right only where the session's zone is UTC. */
export const SESSION_OPTIONS = "-c TimeZone=UTC";
