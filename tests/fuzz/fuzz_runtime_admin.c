/*
 * Fuzzing the admin endpoint: a request's line (method, path, query), its headers, an empty line
 * and its body go over a connection to the endpoint of a host that runs. Whatever they are, the
 * answer comes, is what it says it is, is no 500, and holds no secret of the topology. What may
 * have changed something is followed by another host, so that every input finds the same one. Its
 * plugins are some that do nothing outside, and users are asked who they are.
 */
#include "admin/access/password.h"
#include "admin/admin.h"
#include "fuzz_runtime.h"
#include "host/run.h"
#include "topology/document.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/socket.h>
#include <unistd.h>

#define ENV_SECRET "swordfish-of-env"
#define WRITTEN_SECRET "swordfish-as-written"
#define SECRETS "swordfish"

enum { ANSWER_MS = 8000, LINE_BYTES = 256 };

static const char document[] =
    "{\"pipeline\": \"fuzz\", \"state\": \"state\", \"lanes\": 1,"
    " \"admin\": {\"listen\": \"127.0.0.1:0\", \"users\": \"users.json\"},"
    " \"tap\": {\"mask\": [\"amount\"]}, \"sources\": {"
    "  \"events\": {\"plugin\": \"generator\", \"config\": {\"rate\": 200, \"partitions\": 2}},"
    "  \"more\": {\"plugin\": \"good\", \"config\": {\"topics\": [\"more\"],"
    "   \"password\": \"" WRITTEN_SECRET "\", \"text\": \"${env:SLUICE_FUZZ}\"}}},"
    " \"transforms\": {\"silver\": {\"plugin\": \"good\", \"inputs\": [\"events\"]}}, \"sinks\": {"
    "  \"bronze\": {\"plugin\": \"good\", \"inputs\": [\"more\"], \"config\": {\"table\": \"a\"}},"
    "  \"out\": {\"plugin\": \"good\", \"inputs\": [\"silver\"],"
    "   \"config\": {\"table\": \"b\"}}}}\n";

static const char *const users[][2] = {{"ada", "admin"}, {"otto", "operator"}, {"vera", "viewer"}};
static const char *const plugins[] = {"../../plugins/generator.so", "good.so", "stateful.so",
                                      "picky.so"};

static char folder[] = "/tmp/sluice-fuzz-XXXXXX";
static char topology_file[PATH_MAX];
static struct plugin_registry *registry;
static const struct topology_options load;

/* The host that runs; NULL: none. */
static struct host *running;
static struct topology *topology;
static pthread_t runner;
static sem_t began;
static sl_log_level level;

const char *__asan_default_options(void);

static void expect_done(sl_error *error) {
    if (error != NULL) {
        (void)fprintf(stderr, "%s\n", sl_error_message(error));
        abort();
    }
}

/* The host's thread gets a signal stack of the host's own. */
const char *__asan_default_options(void) {
    return "use_sigaltstack=0";
}

/* ---- the folder ---- */

static void write_file(const char *name, const char *text) {
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    expect(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0, "a file can be written");
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where) {
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

static void remove_tree(const char *path) {
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void write_users(void) {
    sl_buffer text = SL_BUFFER_INIT;
    sl_buffer_append_text(&text, "{\"users\": [");
    for (size_t i = 0; i < SL_ARRAY_LENGTH(users); i++) {
        sl_buffer_printf(&text, "%s{\"name\": \"%s\", \"role\": \"%s\", \"token\": \"",
                         i == 0 ? "" : ", ", users[i][0], users[i][1]);
        expect_done(password_make("secret", TOKEN_COST, &text));
        sl_buffer_append_text(&text, "\"}");
    }
    sl_buffer_append_text(&text, "]}");
    write_file("users.json", sl_buffer_text(&text));
    sl_buffer_free(&text);
}

/* Those that touch nothing outside. */
static void link_plugins(void) {
    char target[PATH_MAX];
    char path[PATH_MAX];
    for (size_t i = 0; i < SL_ARRAY_LENGTH(plugins); i++) {
        (void)snprintf(target, sizeof(target), "%.4000s/%s", fuzz_plugins, plugins[i]);
        (void)snprintf(path, sizeof(path), "%s/%s", folder, basename(plugins[i]));
        expect(symlink(target, path) == 0, "a link can be made");
    }
}

/* ---- the host ---- */

static void host_began(void *arg, struct host *host) {
    (void)arg;
    running = host;
    sem_post(&began);
}

static sl_log_level get_level(void *arg) {
    (void)arg;
    return level;
}

static void set_level(void *arg, sl_log_level next) {
    (void)arg;
    level = next;
}

static void *run_host(void *arg) {
    const struct host_options options = {.registry = registry,
                                         .load = &load,
                                         .log_level = get_level,
                                         .set_log_level = set_level,
                                         .began = host_began};
    (void)arg;
    sl_error_free(host_run(topology, &options)); /* the end may cut off what was asked for */
    return NULL;
}

static int ask(const char *head, size_t head_bytes, const char *body, size_t body_bytes,
               sl_buffer *answer);

/* Everybody is known from the beginning, so that no wrong log-ins keep the right ones out. */
static void log_in(void) {
    for (size_t i = 0; i < SL_ARRAY_LENGTH(users); i++) {
        char head[LINE_BYTES];
        sl_buffer answer = SL_BUFFER_INIT;
        int n = snprintf(head, sizeof(head), "GET /v1/user\nAuthorization: Bearer %s.secret",
                         users[i][0]);
        expect(ask(head, (size_t)n, "", 0, &answer) == 200, "users can log in");
        sl_buffer_free(&answer);
    }
}

static void start_host(void) {
    struct topology_faults *faults = NULL;
    write_file("topology.json", document);
    level = SL_LOG_INFO;
    expect_done(topology_load(topology_file, &load, registry, &topology, &faults));
    topology_faults_free(faults);
    expect(pthread_create(&runner, NULL, run_host, NULL) == 0, "there are threads");
    while (sem_wait(&began) != 0) {
    }
    log_in();
}

static void drain(void *arg) {
    host_drain(arg);
}

static void stop_host(void) {
    char state[PATH_MAX];
    if (running == NULL) {
        return;
    }
    struct host *host = running;
    running = NULL;
    expect_done(loop_post_new(&host->control, drain, host));
    pthread_join(runner, NULL);
    topology_free(topology);
    (void)snprintf(state, sizeof(state), "%s/state", folder);
    remove_tree(state);
}

static void end(void) {
    stop_host();
    plugin_registry_free(registry);
    remove_tree(folder);
}

static void begin(void) {
    (void)setenv("SLUICE_FUZZ", ENV_SECRET, 1);
    expect(mkdtemp(folder) != NULL, "a folder can be made");
    (void)snprintf(topology_file, sizeof(topology_file), "%s/topology.json", folder);
    link_plugins();
    write_users();
    sem_init(&began, 0, 0);
    const char *const paths[] = {folder};
    expect_done(plugin_registry_new(paths, 1, &registry));
    expect(atexit(end) == 0, "the end can be seen to");
}

/* ---- a request ---- */

/* Each connection is from another of this machine's own addresses, since those that have ended keep
 * their ports for a minute. */
static int connect_to(uint16_t port) {
    static uint16_t turn;
    turn++;
    struct sockaddr_in from = {.sin_family = AF_INET};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + turn);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    expect(fd >= 0 && bind(fd, (const struct sockaddr *)&from, sizeof(from)) == 0 &&
               connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0,
           "the endpoint can be reached");
    return fd;
}

/* What it lacks, and is waited for, never comes. */
static void send_all(int fd, const sl_buffer *text) {
    for (size_t sent = 0; sent < text->bytes;) {
        ssize_t n = send(fd, text->data + sent, text->bytes - sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR) {
            return; /* it has been cut off, which is an answer */
        }
        sent += n > 0 ? (size_t)n : 0;
    }
    (void)shutdown(fd, SHUT_WR);
}

/* The request's line and headers as HTTP has them, with those that every request needs. */
static void write_request(const char *head, size_t head_bytes, const char *body, size_t body_bytes,
                          sl_buffer *out) {
    const char *end_of_head = head + head_bytes;
    for (const char *line = head; line == head || line < end_of_head;) {
        const char *next = memchr(line, '\n', (size_t)(end_of_head - line));
        size_t bytes = (size_t)((next != NULL ? next : end_of_head) - line);
        sl_buffer_append(out, line, bytes);
        sl_buffer_append_text(out, line == head ? " HTTP/1.1\r\nHost: localhost\r\n" : "\r\n");
        line += bytes + 1;
    }
    sl_buffer_printf(out, "Connection: close\r\nContent-Length: %zu\r\n\r\n", body_bytes);
    sl_buffer_append(out, body, body_bytes);
}

static bool is_stream(sl_buffer *answer) {
    const char *text = sl_buffer_text(answer);
    const char *head_end = text != NULL ? strstr(text, "\r\n\r\n") : NULL;
    const char *found = head_end != NULL ? strstr(text, "text/event-stream") : NULL;
    return found != NULL && found < head_end;
}

/* To its end; of one that goes on the beginning. */
static void read_answer(int fd, sl_buffer *answer) {
    char chunk[16384];
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    while (!is_stream(answer)) {
        int ready = poll(&wait, 1, ANSWER_MS);
        if (ready < 0 && errno == EINTR) {
            continue;
        }
        expect(ready == 1, "an answer comes");
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n <= 0) {
            return;
        }
        sl_buffer_append(answer, chunk, (size_t)n);
    }
}

/* The answer's status; 0: there is none, or it only says that it goes on (100). */
static int ask(const char *head, size_t head_bytes, const char *body, size_t body_bytes,
               sl_buffer *answer) {
    sl_buffer request = SL_BUFFER_INIT;
    write_request(head, head_bytes, body, body_bytes, &request);
    int fd =
        connect_to(MHD_get_daemon_info(running->admin->daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
    send_all(fd, &request);
    read_answer(fd, answer);
    close(fd);
    sl_buffer_free(&request);
    int status = 0;
    const char *text = sl_buffer_text(answer);
    bool has_status = text != NULL && sscanf(text, "HTTP/1.%*d %d", &status) == 1;
    return has_status && status >= 200 ? status : 0;
}

/* ---- its answer ---- */

static void tell_fault(void *arg, struct json_place place, const char *path, const char *text) {
    (void)arg;
    (void)fprintf(stderr, "line %d, column %d, %s: %s\n", place.line, place.column, path, text);
    abort();
}

/* A second answer may follow: to what the first request left over. */
static void check_json(const char *head, const char *body) {
    struct arena arena = {NULL, false};
    const char *length = strstr(head, "\r\nContent-Length: ");
    size_t bytes = length != NULL ? strtoul(length + 18, NULL, 10) : 0;
    expect(bytes > 0 && bytes <= strlen(body), "it is as long as it is said");
    expect(json_parse(&arena, body, bytes, tell_fault, NULL) != NULL, "JSON is JSON");
    arena_free(&arena);
}

static void check(int status, const char *answer, bool has_body) {
    expect(status < 600 && status != 500, "the status is one of those there are");
    expect(status != 405 || strstr(answer, "\r\nAllow: ") != NULL, "a 405 says what is allowed");
    const char *body = strstr(answer, "\r\n\r\n");
    expect(body != NULL, "an answer has a head");
    if (has_body && strstr(answer, "Content-Type: application/json\r\n") != NULL) {
        check_json(answer, body + 4);
    }
}

static bool may_change(const char *text) {
    return strncmp(text, "GET ", 4) != 0 && strncmp(text, "HEAD ", 5) != 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    sl_buffer input = SL_BUFFER_INIT;
    sl_buffer answer = SL_BUFFER_INIT;
    if (registry == NULL) {
        begin();
    }
    if (running == NULL) {
        start_host();
    }
    sl_buffer_append(&input, data, bytes);
    const char *text = sl_buffer_text(&input);
    const char *gap = memmem(text, bytes, "\n\n", 2);
    size_t head_bytes = gap != NULL ? (size_t)(gap - text) : bytes;
    const char *body = gap != NULL ? gap + 2 : text + bytes;
    int status = ask(text, head_bytes, body, (size_t)(text + bytes - body), &answer);
    const char *told = sl_buffer_text(&answer);
    if (status != 0) {
        check(status, told, strncmp(text, "HEAD ", 5) != 0);
    }
    expect(memmem(answer.data, answer.bytes, SECRETS, strlen(SECRETS)) == NULL ||
               memmem(text, bytes, "fish", 4) != NULL,
           "no secret comes back");
    if ((status < 300 && may_change(text)) || is_stream(&answer)) { /* a tap stays for a while */
        stop_host();
    }
    sl_buffer_free(&input);
    sl_buffer_free(&answer);
    return 0;
}
