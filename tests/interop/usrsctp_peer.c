/*
 * A peer built on usrsctp (libusrsctp-dev), SCTP over UDP on 127.0.0.1, for live tests and benchmarks.
 *
 * It connects or listens for one association, then does one job: send, receive, echo, ping, or take
 * commands from standard input.  Everything it has to say it prints as JSON lines.  What was sent and
 * received is summed up so that the other side can compare: `digest` is SHA-256 over the SHA-256 of each
 * message in order, `sum` adds the first eight bytes of each (for messages that may come in any order).
 * CRC-32C is always made and checked, which usrsctp would otherwise leave out on loopback.
 *
 * cc -O2 -o usrsctp_peer usrsctp_peer.c -lusrsctp -lpthread
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <usrsctp.h>

#ifndef SCTP_INTERLEAVING_SUPPORTED
#define SCTP_INTERLEAVING_SUPPORTED 0x00001206 /* known to the library, missing in its header */
#endif

/* ---- SHA-256 (FIPS 180-4) -------------------------------------------------------------------- */

struct sha256 {
	uint32_t state[8];
	uint64_t length;
	uint8_t block[64];
};

static uint32_t sha_constants[64];

static bool is_prime(unsigned n) {
	for (unsigned d = 2; d * d <= n; d++)
		if (n % d == 0)
			return false;
	return true;
}

/* The fractional bits of the square or cube root of n: the largest r with r^power <= n * 2^(32 * power). */
static uint32_t root_bits(unsigned n, int power) {
	uint64_t low = 0, high = (uint64_t)1 << 36;
	while (high - low > 1) {
		uint64_t middle = (low + high) / 2;
		unsigned __int128 raised = (unsigned __int128)middle * middle * (power == 3 ? middle : 1);
		if (raised <= (unsigned __int128)n << (32 * power))
			low = middle;
		else
			high = middle;
	}
	return (uint32_t)low;
}

static uint32_t sha_initial[8];

static void sha_prepare(void) {
	unsigned prime = 2;
	for (int i = 0; i < 64; i++, prime++) {
		while (!is_prime(prime))
			prime++;
		sha_constants[i] = root_bits(prime, 3);
		if (i < 8)
			sha_initial[i] = root_bits(prime, 2);
	}
}

static inline uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void sha_block(uint32_t *state, const uint8_t *data) {
	uint32_t w[64], v[8];
	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)data[4 * i] << 24 | data[4 * i + 1] << 16 | data[4 * i + 2] << 8 | data[4 * i + 3];
	for (int i = 16; i < 64; i++) {
		uint32_t s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
		uint32_t s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
		w[i] = w[i - 16] + s0 + w[i - 7] + s1;
	}
	memcpy(v, state, sizeof v);
	for (int i = 0; i < 64; i++) {
		uint32_t s1 = rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25);
		uint32_t t1 = v[7] + s1 + ((v[4] & v[5]) ^ (~v[4] & v[6])) + sha_constants[i] + w[i];
		uint32_t s0 = rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22);
		uint32_t t2 = s0 + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
		memmove(v + 1, v, 7 * sizeof v[0]);
		v[4] += t1;
		v[0] = t1 + t2;
	}
	for (int i = 0; i < 8; i++)
		state[i] += v[i];
}

static void sha_start(struct sha256 *sha) {
	memcpy(sha->state, sha_initial, sizeof sha->state);
	sha->length = 0;
}

static void sha_update(struct sha256 *sha, const void *bytes, size_t size) {
	const uint8_t *data = bytes;
	while (size > 0) {
		size_t used = sha->length % 64, room = 64 - used, take = size < room ? size : room;
		memcpy(sha->block + used, data, take);
		sha->length += take;
		data += take;
		size -= take;
		if (used + take == 64)
			sha_block(sha->state, sha->block);
	}
}

static void sha_finish(struct sha256 sha, uint8_t digest[32]) {
	uint64_t bits = sha.length * 8;
	uint8_t tail[72] = {0x80};
	size_t padding = (119 - sha.length % 64) % 64 + 1;
	for (int i = 0; i < 8; i++)
		tail[padding + i] = (uint8_t)(bits >> (56 - 8 * i));
	sha_update(&sha, tail, padding + 8);
	for (int i = 0; i < 32; i++)
		digest[i] = (uint8_t)(sha.state[i / 4] >> (24 - 8 * (i % 4)));
}

/* ---- counting what passed -------------------------------------------------------------------- */

struct tally {
	uint64_t messages, bytes, sum;
	struct sha256 chain;
	double first, last; /* when the first and the last message passed */
};

static struct tally sent, received;
static struct sha256 receiving; /* over the message of which parts have arrived */

static double clock_seconds(clockid_t id) {
	struct timespec t;
	clock_gettime(id, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double now(void) { return clock_seconds(CLOCK_MONOTONIC); }

static void count_message(struct tally *tally, uint64_t size) {
	tally->last = now();
	if (tally->messages++ == 0)
		tally->first = tally->last;
	tally->bytes += size;
}

static void count_hash(struct tally *tally, struct sha256 message) {
	uint8_t digest[32];
	uint64_t head = 0;
	sha_finish(message, digest);
	for (int i = 0; i < 8; i++)
		head = head << 8 | digest[i];
	tally->sum += head;
	sha_update(&tally->chain, digest, 32);
}

/* ---- options and output ---------------------------------------------------------------------- */

static struct {
	const char *connect, *bind;
	const char *job; /* send receive echo ping commands */
	uint16_t udp, peer_udp, port, peer_port;
	uint64_t count;
	uint32_t size;
	uint16_t streams, in_streams, out_streams, first_stream;
	uint32_t ppid, mtu, rto_min, rto_max, policy, policy_value;
	int sndbuf, rcvbuf, udpbuf;
	uint32_t heartbeat; /* milliseconds */
	bool hold, unordered, verify, report, nodelay, interleaving, linger, answer_strangers, explicit_eor;
	uint64_t seed;
	double duration;
} options = {
	.bind = "127.0.0.1", .job = "receive", .udp = 9901, .peer_udp = 9902, .port = 5001, .peer_port = 5001,
	.count = 100, .size = 1000, .streams = 1, .in_streams = 2048, .out_streams = 64, .sndbuf = 1 << 18, .rcvbuf = 1 << 18, .seed = 1,
};

static struct socket *association;
static pthread_mutex_t output = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t echo_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t echo_arrived = PTHREAD_COND_INITIALIZER, may_read = PTHREAD_COND_INITIALIZER;
static uint64_t echoes;
static double setup_ms, cpu_before; /* what connecting took; CPU seconds used before it */
static const char *ending = "end of file";

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...) {
	va_list arguments;
	va_start(arguments, format);
	pthread_mutex_lock(&output);
	vprintf(format, arguments);
	putchar('\n');
	fflush(stdout);
	pthread_mutex_unlock(&output);
	va_end(arguments);
}

static void die(const char *what) {
	say("{\"event\": \"failed\", \"call\": \"%s\", \"error\": \"%s\"}", what, strerror(errno));
	exit(1);
}

static void quiet(const char *format, ...) { (void)format; }

/* ---- receiving ------------------------------------------------------------------------------- */

/* The ABORT chunk that came, if one did. */
static void say_abort(const struct sctp_assoc_change *change) {
	size_t size = change->sac_length - sizeof *change;
	char hex[2 * 256 + 1] = "";
	for (size_t i = 0; i < size && i < 256; i++)
		sprintf(hex + 2 * i, "%02x", change->sac_info[i]);
	if (size > 0)
		say("{\"event\": \"abort\", \"cause\": %u, \"chunk\": \"%s\"}", change->sac_error, hex);
}

static void on_association_change(const struct sctp_assoc_change *change) {
	switch (change->sac_state) {
	case SCTP_COMM_UP:
	case SCTP_RESTART:
		say("{\"event\": \"%s\", \"outbound_streams\": %u, \"inbound_streams\": %u}",
		    change->sac_state == SCTP_COMM_UP ? "up" : "restart", change->sac_outbound_streams, change->sac_inbound_streams);
		break;
	case SCTP_COMM_LOST:
		ending = "lost"; /* an ABORT that came or was sent, or no answer */
		say_abort(change);
		break;
	case SCTP_SHUTDOWN_COMP:
		ending = "shutdown";
		break;
	default:
		ending = "cannot start";
	}
}

static void on_stream_reset(const struct sctp_stream_reset_event *event) {
	char list[4096] = "";
	size_t used = 0, count = (event->strreset_length - sizeof *event) / sizeof(uint16_t);
	for (size_t i = 0; i < count && used < sizeof list - 16; i++)
		used += (size_t)snprintf(list + used, sizeof list - used, "%s%u", i ? ", " : "", event->strreset_stream_list[i]);
	say("{\"event\": \"stream reset\", \"incoming\": %s, \"outgoing\": %s, \"denied\": %s, \"failed\": %s, \"streams\": [%s]}",
	    event->strreset_flags & SCTP_STREAM_RESET_INCOMING_SSN ? "true" : "false",
	    event->strreset_flags & SCTP_STREAM_RESET_OUTGOING_SSN ? "true" : "false",
	    event->strreset_flags & SCTP_STREAM_RESET_DENIED ? "true" : "false",
	    event->strreset_flags & SCTP_STREAM_RESET_FAILED ? "true" : "false", list);
}

static void on_notification(const union sctp_notification *n) {
	switch (n->sn_header.sn_type) {
	case SCTP_ASSOC_CHANGE:
		on_association_change(&n->sn_assoc_change);
		break;
	case SCTP_SHUTDOWN_EVENT:
		say("{\"event\": \"peer shutdown\"}");
		break;
	case SCTP_REMOTE_ERROR:
		say("{\"event\": \"remote error\", \"cause\": %u}", ntohs(n->sn_remote_error.sre_error));
		break;
	case SCTP_SEND_FAILED_EVENT:
		say("{\"event\": \"send failed\", \"stream\": %u, \"was_sent\": %s}", n->sn_send_failed_event.ssfe_info.snd_sid,
		    n->sn_send_failed_event.ssfe_flags & SCTP_DATA_SENT ? "true" : "false");
		break;
	case SCTP_STREAM_RESET_EVENT:
		on_stream_reset(&n->sn_strreset_event);
		break;
	case SCTP_STREAM_CHANGE_EVENT:
		say("{\"event\": \"streams changed\", \"flags\": %u, \"inbound_streams\": %u, \"outbound_streams\": %u}",
		    n->sn_strchange_event.strchange_flags, n->sn_strchange_event.strchange_instrms,
		    n->sn_strchange_event.strchange_outstrms);
		break;
	case SCTP_ASSOC_RESET_EVENT:
		say("{\"event\": \"association reset\", \"flags\": %u}", n->sn_assocreset_event.assocreset_flags);
		break;
	case SCTP_PARTIAL_DELIVERY_EVENT:
		say("{\"event\": \"partial delivery aborted\", \"stream\": %u}", n->sn_pdapi_event.pdapi_stream);
		sha_start(&receiving);
		break;
	case SCTP_SENDER_DRY_EVENT:
		if (options.report)
			say("{\"event\": \"sender dry\"}");
		break;
	}
}

static void send_message(const void *data, size_t size, uint16_t stream, uint32_t ppid, bool unordered,
                         uint32_t policy, uint32_t value) {
	struct sctp_sendv_spa info;
	memset(&info, 0, sizeof info);
	info.sendv_flags = SCTP_SEND_SNDINFO_VALID | (policy ? SCTP_SEND_PRINFO_VALID : 0);
	info.sendv_sndinfo.snd_sid = stream;
	info.sendv_sndinfo.snd_ppid = htonl(ppid);
	info.sendv_sndinfo.snd_flags = (uint16_t)((unordered ? SCTP_UNORDERED : 0) | (options.explicit_eor ? SCTP_EOR : 0));
	info.sendv_prinfo.pr_policy = (uint16_t)policy;
	info.sendv_prinfo.pr_value = value;
	if (usrsctp_sendv(association, data, size, NULL, 0, &info, sizeof info, SCTP_SENDV_SPA, 0) < 0)
		die("usrsctp_sendv");
	count_message(&sent, size);
	if (options.verify) {
		struct sha256 hash;
		sha_start(&hash);
		sha_update(&hash, data, size);
		count_hash(&sent, hash);
	}
}

static void on_whole_message(const uint8_t *data, size_t size, const struct sctp_rcvinfo *info) {
	bool unordered = info->rcv_flags & SCTP_UNORDERED;
	count_message(&received, size);
	if (options.verify)
		count_hash(&received, receiving);
	if (options.report) {
		char hex[129];
		size_t shown = size < 64 ? size : 64;
		for (size_t i = 0; i < shown; i++)
			sprintf(hex + 2 * i, "%02x", data[i]);
		hex[2 * shown] = 0;
		say("{\"event\": \"message\", \"stream\": %u, \"ppid\": %u, \"ssn\": %u, \"tsn\": %u, \"unordered\": %s, \"size\": %zu, "
		    "\"head\": \"%s\"}",
		    info->rcv_sid, (unsigned)ntohl(info->rcv_ppid), info->rcv_ssn, info->rcv_tsn, unordered ? "true" : "false", size, hex);
	}
	if (strcmp(options.job, "echo") == 0)
		send_message(data, size, info->rcv_sid, ntohl(info->rcv_ppid), unordered, 0, 0);
	if (strcmp(options.job, "ping") == 0) {
		pthread_mutex_lock(&echo_lock);
		echoes++;
		pthread_cond_signal(&echo_arrived);
		pthread_mutex_unlock(&echo_lock);
	}
}

/* Until the association is over.  Parts of a message are put together at the head of the buffer. */
static void *receive_all(void *unused) {
	size_t room = 1 << 20, held = 0;
	uint8_t *buffer = malloc(room);
	(void)unused;
	pthread_mutex_lock(&echo_lock);
	while (options.hold) /* until the command comes to read */
		pthread_cond_wait(&may_read, &echo_lock);
	pthread_mutex_unlock(&echo_lock);
	for (;;) {
		struct sctp_rcvinfo info;
		socklen_t info_size = sizeof info;
		unsigned info_type = 0;
		int flags = 0;
		if (held == room)
			buffer = realloc(buffer, room *= 2);
		memset(&info, 0, sizeof info);
		ssize_t n = usrsctp_recvv(association, buffer + held, room - held, NULL, NULL, &info, &info_size, &info_type, &flags);
		if (n <= 0) {
			if (n < 0 && errno != ECONNRESET && errno != ENOTCONN && errno != ECONNREFUSED)
				ending = strerror(errno);
			else if (n < 0)
				ending = "lost";
			break;
		}
		if (flags & MSG_NOTIFICATION) {
			on_notification((union sctp_notification *)(buffer + held));
			continue;
		}
		if (held == 0)
			sha_start(&receiving);
		if (options.verify)
			sha_update(&receiving, buffer + held, (size_t)n);
		held += (size_t)n;
		if (flags & MSG_EOR) {
			on_whole_message(buffer, held, &info);
			held = 0;
		}
	}
	free(buffer);
	return NULL;
}

/* ---- jobs ------------------------------------------------------------------------------------ */

static uint64_t random_state;

static uint64_t random_next(void) { /* xorshift64* */
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * UINT64_C(0x2545F4914F6CDD1D);
}

static void fill(uint8_t *data, size_t size) {
	for (size_t i = 0; i < size; i += 8) {
		uint64_t bits = random_next();
		memcpy(data + i, &bits, size - i < 8 ? size - i : 8);
	}
}

static void send_many(uint64_t count, size_t size, uint16_t first_stream, uint16_t streams, uint32_t ppid, bool unordered,
                      uint32_t policy, uint32_t value) {
	uint8_t *data = malloc(size);
	double end = options.duration > 0 ? now() + options.duration : 0; /* a rate is that of two or more */
	fill(data, size);
	for (uint64_t i = 0; end > 0 ? i < 2 || now() < end : i < count; i++) {
		if (options.verify)
			fill(data, size);
		send_message(data, size, (uint16_t)(first_stream + i % streams), ppid, unordered, policy, value);
	}
	free(data);
}

static int compare_doubles(const void *a, const void *b) {
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void ping_many(void) {
	uint8_t *data = calloc(1, options.size);
	double *times = calloc(options.count, sizeof *times);
	fill(data, options.size);
	for (uint64_t i = 0; i < options.count; i++) {
		double start = now();
		send_message(data, options.size, options.first_stream, options.ppid, options.unordered, 0, 0);
		pthread_mutex_lock(&echo_lock);
		while (echoes <= i)
			pthread_cond_wait(&echo_arrived, &echo_lock);
		pthread_mutex_unlock(&echo_lock);
		times[i] = (now() - start) * 1e6;
	}
	qsort(times, options.count, sizeof *times, compare_doubles);
	say("{\"event\": \"round trips\", \"count\": %" PRIu64 ", \"median_us\": %.1f, \"p99_us\": %.1f}", options.count,
	    times[options.count / 2], times[options.count * 99 / 100]);
	free(times);
	free(data);
}

static void reset_streams(const char *direction, char *list) {
	uint8_t space[sizeof(struct sctp_reset_streams) + 512 * sizeof(uint16_t)];
	struct sctp_reset_streams *request = (struct sctp_reset_streams *)space;
	memset(space, 0, sizeof space);
	if (strcmp(direction, "in") != 0)
		request->srs_flags |= SCTP_STREAM_RESET_OUTGOING;
	if (strcmp(direction, "out") != 0)
		request->srs_flags |= SCTP_STREAM_RESET_INCOMING;
	for (char *id = strtok(list, " \n"); id && request->srs_number_streams < 512; id = strtok(NULL, " \n"))
		request->srs_stream_list[request->srs_number_streams++] = (uint16_t)atoi(id);
	socklen_t size = (socklen_t)(sizeof *request + request->srs_number_streams * sizeof(uint16_t));
	int result = usrsctp_setsockopt(association, IPPROTO_SCTP, SCTP_RESET_STREAMS, request, size);
	say("{\"event\": \"reset requested\", \"error\": \"%s\"}", result < 0 ? strerror(errno) : "");
}

static void abort_association(void) {
	struct sctp_sndinfo info;
	memset(&info, 0, sizeof info);
	info.snd_flags = SCTP_ABORT;
	usrsctp_sendv(association, "bye", 3, NULL, 0, &info, sizeof info, SCTP_SENDV_SNDINFO, 0);
}

/* send COUNT SIZE FIRST_STREAM STREAMS PPID UNORDERED POLICY VALUE | text STREAM PPID WORDS...
 * reset in|out|both [ID...] | add IN OUT | shutdown | abort | read | sleep MILLISECONDS */
static void obey_commands(void) {
	char line[8192], word[16];
	while (fgets(line, sizeof line, stdin)) {
		unsigned long count, size, stream, streams, ppid, unordered, policy, value;
		int offset = 0;
		if (sscanf(line, "send %lu %lu %lu %lu %lu %lu %lu %lu", &count, &size, &stream, &streams, &ppid, &unordered, &policy,
		           &value) == 8) {
			send_many(count, size, (uint16_t)stream, (uint16_t)streams, (uint32_t)ppid, unordered != 0, (uint32_t)policy,
			          (uint32_t)value);
		} else if (sscanf(line, "text %lu %lu %n", &stream, &ppid, &offset) == 2 && offset) {
			send_message(line + offset, strcspn(line + offset, "\n"), (uint16_t)stream, (uint32_t)ppid, false, 0, 0);
		} else if (sscanf(line, "reset %15s%n", word, &offset) == 1 && offset) {
			reset_streams(word, line + offset);
		} else if (sscanf(line, "add %lu %lu", &stream, &streams) == 2) {
			struct sctp_add_streams add = {.sas_instrms = (uint16_t)stream, .sas_outstrms = (uint16_t)streams};
			if (usrsctp_setsockopt(association, IPPROTO_SCTP, SCTP_ADD_STREAMS, &add, sizeof add) < 0)
				say("{\"event\": \"add refused\", \"error\": \"%s\"}", strerror(errno));
		} else if (strncmp(line, "shutdown", 8) == 0) {
			usrsctp_shutdown(association, SHUT_WR);
		} else if (strncmp(line, "abort", 5) == 0) {
			abort_association();
		} else if (strncmp(line, "read", 4) == 0) {
			pthread_mutex_lock(&echo_lock);
			options.hold = false;
			pthread_cond_signal(&may_read);
			pthread_mutex_unlock(&echo_lock);
		} else if (sscanf(line, "sleep %lu", &count) == 1) {
			usleep((useconds_t)count * 1000);
		} else {
			say("{\"event\": \"unknown command\"}");
		}
	}
}

/* ---- setting up ------------------------------------------------------------------------------ */

static void set_option(struct socket *so, int option, const void *value, socklen_t size, const char *name) {
	if (usrsctp_setsockopt(so, IPPROTO_SCTP, option, value, size) < 0)
		die(name);
}
#define SET(so, option, value) set_option(so, option, &(value), sizeof(value), #option)

static void set_buffers(struct socket *so) {
	usrsctp_setsockopt(so, SOL_SOCKET, SO_SNDBUF, &options.sndbuf, sizeof options.sndbuf);
	usrsctp_setsockopt(so, SOL_SOCKET, SO_RCVBUF, &options.rcvbuf, sizeof options.rcvbuf);
}

/* usrsctp gives its UDP socket 128 KiB; find it among our descriptors and ask for more. */
static void raise_udp_buffers(void) {
	for (int fd = 3; fd < 64; fd++) {
		struct sockaddr_in address;
		socklen_t size = sizeof address;
		if (getsockname(fd, (struct sockaddr *)&address, &size) == 0 && ntohs(address.sin_port) == options.udp) {
			setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &options.udpbuf, sizeof options.udpbuf);
			setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &options.udpbuf, sizeof options.udpbuf);
		}
	}
}

static void subscribe(struct socket *so) {
	const uint16_t types[] = {SCTP_ASSOC_CHANGE,        SCTP_SHUTDOWN_EVENT,   SCTP_REMOTE_ERROR,
	                          SCTP_SEND_FAILED_EVENT,   SCTP_STREAM_RESET_EVENT, SCTP_STREAM_CHANGE_EVENT,
	                          SCTP_ASSOC_RESET_EVENT,   SCTP_PARTIAL_DELIVERY_EVENT, SCTP_SENDER_DRY_EVENT};
	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
		struct sctp_event event = {.se_assoc_id = SCTP_FUTURE_ASSOC, .se_type = types[i], .se_on = 1};
		SET(so, SCTP_EVENT, event);
	}
}

static void configure(struct socket *so) {
	const int on = 1;
	uint16_t needed = (uint16_t)(options.first_stream + options.streams);
	struct sctp_initmsg init = {.sinit_num_ostreams = needed > options.out_streams ? needed : options.out_streams,
	                            .sinit_max_instreams = options.in_streams};
	struct sctp_assoc_value resets = {.assoc_id = SCTP_FUTURE_ASSOC, .assoc_value = SCTP_ENABLE_VALUE_MASK};
	struct sctp_udpencaps encapsulation = {.sue_port = htons(options.peer_udp)};
	SET(so, SCTP_INITMSG, init);
	SET(so, SCTP_ENABLE_STREAM_RESET, resets);
	SET(so, SCTP_RECVRCVINFO, on);
	encapsulation.sue_address.ss_family = AF_INET;
	SET(so, SCTP_REMOTE_UDP_ENCAPS_PORT, encapsulation);
	if (options.nodelay)
		SET(so, SCTP_NODELAY, on);
	if (options.explicit_eor) /* a message goes into the buffer piece by piece, at the expense of less important ones */
		SET(so, SCTP_EXPLICIT_EOR, on);
	if (options.mtu || options.heartbeat) {
		struct sctp_paddrparams path = {.spp_hbinterval = options.heartbeat, .spp_flags = SPP_HB_ENABLE};
		if (options.mtu) {
			path.spp_pathmtu = options.mtu;
			path.spp_flags |= SPP_PMTUD_DISABLE;
		}
		path.spp_address.ss_family = AF_INET;
		SET(so, SCTP_PEER_ADDR_PARAMS, path);
	}
	if (options.rto_min || options.rto_max) {
		struct sctp_rtoinfo rto = {.srto_initial = options.rto_min, .srto_min = options.rto_min, .srto_max = options.rto_max};
		SET(so, SCTP_RTOINFO, rto);
	}
	if (options.interleaving) {
		const int level = 2;
		struct sctp_assoc_value interleave = {.assoc_value = 1};
		SET(so, SCTP_FRAGMENT_INTERLEAVE, level);
		SET(so, SCTP_INTERLEAVING_SUPPORTED, interleave);
	}
	subscribe(so);
	set_buffers(so);
	if (options.interleaving) { /* parts of messages would be interleaved as well */
		const uint32_t point = (uint32_t)options.rcvbuf / 2;
		SET(so, SCTP_PARTIAL_DELIVERY_POINT, point);
	}
}

static struct sockaddr_in address_of(const char *text, uint16_t port) {
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	if (inet_pton(AF_INET, text, &address.sin_addr) != 1)
		die("inet_pton");
	return address;
}

static struct socket *establish(void) {
	struct sockaddr_in local = address_of(options.bind, options.port);
	struct socket *so = usrsctp_socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP, NULL, NULL, 0, NULL);
	if (so == NULL)
		die("usrsctp_socket");
	configure(so);
	if (usrsctp_bind(so, (struct sockaddr *)&local, sizeof local) < 0)
		die("usrsctp_bind");
	if (options.connect) {
		struct sockaddr_in remote = address_of(options.connect, options.peer_port);
		double start = now();
		if (usrsctp_connect(so, (struct sockaddr *)&remote, sizeof remote) < 0)
			die("usrsctp_connect");
		setup_ms = (now() - start) * 1e3;
		return so;
	}
	if (usrsctp_listen(so, 1) < 0)
		die("usrsctp_listen");
	say("{\"event\": \"listening\", \"udp\": %u}", options.udp);
	struct socket *accepted = usrsctp_accept(so, NULL, NULL);
	if (accepted == NULL)
		die("usrsctp_accept");
	set_buffers(accepted);
	usrsctp_close(so);
	return accepted;
}

static void print_tally(const char *name, struct tally *tally, char *text, size_t room) {
	uint8_t digest[32];
	char hex[65];
	sha_finish(tally->chain, digest);
	for (int i = 0; i < 32; i++)
		sprintf(hex + 2 * i, "%02x", digest[i]);
	snprintf(text, room,
	         "\"%s\": {\"messages\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"seconds\": %.6f, \"digest\": \"%s\", \"sum\": \"%016" PRIx64
	         "\"}",
	         name, tally->messages, tally->bytes, tally->last - tally->first, hex, tally->sum);
}

/* The most memory that this process ever had; getrusage would count that of its parent, from before exec. */
static long peak_memory_kib(void) {
	char line[256];
	long found = 0;
	FILE *status = fopen("/proc/self/status", "r");
	while (status && fgets(line, sizeof line, status) && sscanf(line, "VmHWM: %ld", &found) != 1)
		;
	if (status)
		fclose(status);
	return found;
}

static void summarise(void) {
	char out[512], in[512];
	struct sctpstat stat;
	usrsctp_get_stat(&stat);
	print_tally("sent", &sent, out, sizeof out);
	print_tally("received", &received, in, sizeof in);
	say("{\"event\": \"summary\", \"ending\": \"%s\", %s, %s, \"setup_ms\": %.3f, \"cpu_seconds\": %.6f, \"max_rss_kib\": %ld, "
	    "\"packets_sent\": %u, \"packets_received\": %u, \"retransmitted\": %u, \"fast_retransmitted\": %u, \"timeouts\": %u, "
	    "\"checksum_errors\": %u, \"duplicates\": %u, \"heartbeats_acknowledged\": %u}",
	    ending, out, in, setup_ms, clock_seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu_before, peak_memory_kib(), stat.sctps_sendpackets, stat.sctps_recvpackets,
	    stat.sctps_sendretransdata, stat.sctps_sendfastretrans, stat.sctps_timodata, stat.sctps_checksumerrors,
	    stat.sctps_recvdupdata, stat.sctps_recvheartbeatack);
}

static const struct option option_table[] = {
	{"connect", required_argument, NULL, 'c'},    {"bind", required_argument, NULL, 'b'},
	{"job", required_argument, NULL, 'j'},        {"udp", required_argument, NULL, 'u'},
	{"peer-udp", required_argument, NULL, 'U'},   {"port", required_argument, NULL, 'p'},
	{"peer-port", required_argument, NULL, 'P'},  {"count", required_argument, NULL, 'n'},
	{"size", required_argument, NULL, 'l'},       {"streams", required_argument, NULL, 's'},
	{"in-streams", required_argument, NULL, 'i'}, {"out-streams", required_argument, NULL, 'a'},
	{"first-stream", required_argument, NULL, 'f'},
	{"ppid", required_argument, NULL, 'd'},       {"mtu", required_argument, NULL, 'm'},
	{"sndbuf", required_argument, NULL, 'S'},     {"rcvbuf", required_argument, NULL, 'R'},
	{"udpbuf", required_argument, NULL, 'B'},     {"rto-min", required_argument, NULL, 't'},
	{"rto-max", required_argument, NULL, 'T'},    {"policy", required_argument, NULL, 'o'},
	{"policy-value", required_argument, NULL, 'O'}, {"seed", required_argument, NULL, 'e'},
	{"duration", required_argument, NULL, 'D'},   {"unordered", no_argument, NULL, 'x'},
	{"verify", no_argument, NULL, 'v'},           {"report", no_argument, NULL, 'r'},
	{"nodelay", no_argument, NULL, 'N'},          {"interleaving", no_argument, NULL, 'I'},
	{"heartbeat", required_argument, NULL, 'H'},  {"hold", no_argument, NULL, 'W'},
	{"answer-strangers", no_argument, NULL, 'A'}, {"explicit-eor", no_argument, NULL, 'E'},
	{"linger", no_argument, NULL, 'L'},           {NULL, 0, NULL, 0},
};

static void parse_options(int argc, char **argv) {
	int c;
	while ((c = getopt_long(argc, argv, "", option_table, NULL)) != -1) {
		uint32_t number = optarg ? (uint32_t)strtoul(optarg, NULL, 0) : 0;
		switch (c) {
		case 'c': options.connect = optarg; break;
		case 'b': options.bind = optarg; break;
		case 'j': options.job = optarg; break;
		case 'u': options.udp = (uint16_t)number; break;
		case 'U': options.peer_udp = (uint16_t)number; break;
		case 'p': options.port = (uint16_t)number; break;
		case 'P': options.peer_port = (uint16_t)number; break;
		case 'n': options.count = strtoull(optarg, NULL, 0); break;
		case 'l': options.size = number; break;
		case 's': options.streams = (uint16_t)number; break;
		case 'i': options.in_streams = (uint16_t)number; break;
		case 'a': options.out_streams = (uint16_t)number; break;
		case 'f': options.first_stream = (uint16_t)number; break;
		case 'd': options.ppid = number; break;
		case 'm': options.mtu = number; break;
		case 'S': options.sndbuf = (int)number; break;
		case 'R': options.rcvbuf = (int)number; break;
		case 'B': options.udpbuf = (int)number; break;
		case 't': options.rto_min = number; break;
		case 'T': options.rto_max = number; break;
		case 'o': options.policy = number; break;
		case 'O': options.policy_value = number; break;
		case 'e': options.seed = strtoull(optarg, NULL, 0); break;
		case 'D': options.duration = atof(optarg); break;
		case 'x': options.unordered = true; break;
		case 'v': options.verify = true; break;
		case 'r': options.report = true; break;
		case 'H': options.heartbeat = number; break;
		case 'W': options.hold = true; break;
		case 'A': options.answer_strangers = true; break;
		case 'E': options.explicit_eor = true; break;
		case 'N': options.nodelay = true; break;
		case 'I': options.interleaving = true; break;
		case 'L': options.linger = true; break;
		default: exit(2);
		}
	}
}

int main(int argc, char **argv) {
	pthread_t receiver;
	parse_options(argc, argv);
	random_state = options.seed * 2 + 1;
	sha_prepare();
	sha_start(&sent.chain);
	sha_start(&received.chain);
	usrsctp_init(options.udp, NULL, quiet);
	usrsctp_sysctl_set_sctp_no_csum_on_loopback(0);
	if (!options.answer_strangers)
		usrsctp_sysctl_set_sctp_blackhole(2); /* other tests' packets at our raw socket are none of our business */
	usrsctp_sysctl_set_sctp_ecn_enable(0);
	if (options.udpbuf)
		raise_udp_buffers();

	cpu_before = clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
	association = establish();
	if (pthread_create(&receiver, NULL, receive_all, NULL) != 0)
		die("pthread_create");
	if (strcmp(options.job, "send") == 0)
		send_many(options.count, options.size, options.first_stream, options.streams, options.ppid, options.unordered,
		          options.policy, options.policy_value);
	else if (strcmp(options.job, "ping") == 0)
		ping_many();
	else if (strcmp(options.job, "commands") == 0)
		obey_commands();
	if (!options.linger && strcmp(options.job, "receive") != 0 && strcmp(options.job, "echo") != 0)
		usrsctp_shutdown(association, SHUT_WR);
	pthread_join(receiver, NULL);
	usrsctp_close(association);
	for (int tries = 0; usrsctp_finish() != 0 && tries < 300; tries++)
		usleep(10000);
	summarise();
	return 0;
}
