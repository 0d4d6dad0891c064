/** The server counts a text in characters, not in UTF-16 units. */
export const textCharactersMax = 5_000;
/** A larger frame makes the server close the connection for good, so it is refused before it is sent. */
export const requestBytesMax = 60 * 1024;
/** Sends that wait for an answer or a connection. */
export const queuedCountMax = 500;
/** Sends that are on their way to the server at once, at most one for each receiver. */
export const sendsInFlightMax = 32;
/** Messages kept above a hole. What comes beyond it is dropped, because sync fetches it again. */
export const aheadCountMax = 2_000;
/** Messages asked for in one page. The server allows 500. */
export const pageCountMax = 200;
/** Pairs of conversation and seq that are remembered to drop what comes twice. */
export const seenCountMax = 5_000;

export const connectTimeoutMs = 10_000;
export const replyTimeoutMs = 10_000;
export const heartbeatDefaultMs = 25_000;
/** The longest wait that a server may ask for. */
export const serverDelayMaxMs = 3_600_000;
/** A push that overtook another is normal, so a hole is given this long to close by itself. */
export const holeWaitMs = 300;
/** While the server replays, the end of the replay is awaited as long as messages keep coming. */
export const replayStallMs = 3_000;
export const ackThrottleMs = 500;
/** A room's echo of one's own message is recognised for this long. */
export const echoMs = 10_000;
/** A device that holds nothing begins this far below the top of the inbox and takes older messages from history. */
export const freshInboxCount = 300;
/** The same for a super group. */
export const freshGroupCount = 50;
/** Super groups named in one request for their messages. */
export const positionsMax = 500;
/** Rows of a super group that was a group wait for the row that says so: the inbox is asked for it this often. */
export const conversionWaitMs = 1_000;
export const conversionChecksMax = 5;
/** Conversations asked for in one page. */
export const conversationsPageCount = 200;
/** Rows that came after what the server said of a conversation and are counted on top of it. */
export const recentCountMax = 100;
/** Reads are told to the server this long after the first of them. */
export const readThrottleMs = 300;
/** Others are told this often that the user is writing. */
export const typingThrottleMs = 3_000;
/** A read that the server could not take is told again after this long. */
export const readRetryMs = 5_000;
