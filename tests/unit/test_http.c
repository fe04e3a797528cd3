/* lib/http: requests, attempts, limits and authorization, against a scripted server. */
#include "http_loop_poll.h"
#include "http_server.h"

#include <check.h>
#include <signal.h>

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Thing: One\r\n\r\nhello"
#define BUSY "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
#define DENIED "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"

static struct poll_loop loop;
static pthread_t thread;
static struct server server;
static sl_http *http;
static sl_buffer logged;
static char url[128];

static void take_log(void *arg, bool warning, const char *text) {
    (void)arg;
    sl_buffer_printf(&logged, "%s%s\n", warning ? "warning: " : "", text);
}

static void begin(const char *const *script, sl_http_options options) {
    signal(SIGPIPE, SIG_IGN);
    server_start(&server, script);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/path?sig=secret", server.port);
    poll_loop_init(&loop);
    options.log = take_log;
    sl_http_loop table = poll_loop_table(&loop);
    ck_assert_ptr_null(sl_http_open(&table, &options, &http));
    ck_assert_int_eq(pthread_create(&thread, NULL, poll_loop_main, &loop), 0);
}

static void close_http(void *arg) {
    sl_http_close(arg);
}

static void end(void) {
    ck_assert_ptr_null(poll_loop_post(&loop, close_http, http));
    ck_assert_ptr_null(poll_loop_post(&loop, poll_loop_stop, &loop));
    pthread_join(thread, NULL);
    poll_loop_free(&loop);
    server_stop(&server);
    sl_buffer_free(&logged);
}

static sl_http_request get(void) {
    return (sl_http_request){.struct_bytes = sizeof(sl_http_request), .method = "GET", .url = url};
}

static void expect_error(sl_error *error, sl_error_class wanted, const char *part) {
    ck_assert_msg(error != NULL, "no error");
    ck_assert_msg(sl_error_is(error, wanted) && strstr(sl_error_message(error), part) != NULL,
                  "%s: %s", sl_error_class_name(sl_error_get_class(error)),
                  sl_error_message(error));
    ck_assert_msg(strstr(sl_error_message(error), "=secret") == NULL, "%s",
                  sl_error_message(error));
    sl_error_free(error);
}

START_TEST(a_response_has_status_headers_and_body) {
    begin((const char *const[]){OK, NULL}, (sl_http_options){0});
    static const sl_http_header headers[] = {{"X-Mine", "two words"}, {"X-Empty", ""}};
    sl_http_request request = get();
    request.method = "PUT";
    request.headers = headers;
    request.n_headers = 2;
    request.body = "body";
    request.body_bytes = 4;
    sl_http_answer answer;
    ck_assert_ptr_null(sl_http_perform(http, &request, &answer));
    ck_assert_int_eq(answer.response.status, 200);
    ck_assert_uint_eq(answer.response.body_bytes, 5);
    ck_assert_int_eq(memcmp(answer.response.body, "hello", 5), 0);
    size_t bytes = 0;
    const char *value = sl_http_header_value(&answer.response, "x-thing", &bytes);
    ck_assert_uint_eq(bytes, 3);
    ck_assert_int_eq(memcmp(value, "One", 3), 0);
    ck_assert_ptr_null(sl_http_header_value(&answer.response, "x-thin", &bytes));
    ck_assert_uint_eq(answer.response.attempts, 1);
    sl_http_answer_free(&answer);
    end();
    ck_assert_ptr_nonnull(strstr(server.requests[0], "PUT /path?sig=secret HTTP/1.1\r\n"));
    ck_assert_ptr_nonnull(strstr(server.requests[0], "X-Mine: two words\r\n"));
    ck_assert_ptr_nonnull(strstr(server.requests[0], "X-Empty:\r\n"));
    ck_assert_ptr_null(strcasestr(server.requests[0], "expect:"));
}
END_TEST

START_TEST(what_may_pass_is_tried_again) {
    begin((const char *const[]){BUSY, SERVER_CUT, OK, NULL}, (sl_http_options){0});
    sl_http_request request = get();
    sl_http_answer answer;
    ck_assert_ptr_null(sl_http_perform(http, &request, &answer));
    ck_assert_int_eq(answer.response.status, 200);
    ck_assert_uint_eq(answer.response.attempts, 3);
    ck_assert_uint_eq(answer.response.body_bytes, 5);
    sl_http_answer_free(&answer);
    ck_assert_ptr_nonnull(sl_buffer_text(&logged));
    ck_assert_ptr_nonnull(strstr((char *)logged.data, "answer 503; attempt 2 in "));
    ck_assert_ptr_null(strstr((char *)logged.data, "=secret"));
    end();
}
END_TEST

START_TEST(attempts_end_with_the_last_answer) {
    begin((const char *const[]){BUSY, NULL}, (sl_http_options){.retry_timeout_ms = 400});
    sl_http_request request = get();
    sl_http_answer answer;
    ck_assert_ptr_null(sl_http_perform(http, &request, &answer));
    ck_assert_int_eq(answer.response.status, 503);
    ck_assert_uint_ge(answer.response.attempts, 2);
    sl_http_answer_free(&answer);
    request.max_attempts = 1;
    ck_assert_ptr_null(sl_http_perform(http, &request, &answer));
    ck_assert_uint_eq(answer.response.attempts, 1);
    sl_http_answer_free(&answer);
    end();
}
END_TEST

START_TEST(no_answer_is_an_error_that_may_pass) {
    begin((const char *const[]){SERVER_SILENT, NULL}, (sl_http_options){.retry_timeout_ms = 100});
    sl_http_request request = get();
    request.timeout_ms = 150;
    sl_http_answer answer;
    expect_error(sl_http_perform(http, &request, &answer), SL_ERROR_RETRIABLE, "GET http://127");
    char nobody[] = "http://127.0.0.1:1/x?sig=secret";
    request.url = nobody;
    expect_error(sl_http_perform(http, &request, &answer), SL_ERROR_RETRIABLE, "127.0.0.1");
    request.url = "ftp://127.0.0.1/x";
    expect_error(sl_http_perform(http, &request, &answer), SL_ERROR_CONFIG, "http://");
    end();
}
END_TEST

START_TEST(a_long_answer_is_refused) {
    begin((const char *const[]){OK, NULL}, (sl_http_options){0});
    sl_http_request request = get();
    request.max_response_bytes = 4;
    sl_http_answer answer;
    expect_error(sl_http_perform(http, &request, &answer), SL_ERROR_FATAL, "longer than 4 bytes");
    end();
}
END_TEST

/* `lines` headers of `bytes` each, as an answer; to be freed. */
static char *answer_with_headers(size_t lines, size_t bytes) {
    sl_buffer text = SL_BUFFER_INIT;
    sl_buffer_append_text(&text, "HTTP/1.1 200 OK\r\n");
    for (size_t i = 0; i < lines; i++) {
        sl_buffer_printf(&text, "X-Long-%zu: ", i);
        for (size_t b = 0; b < bytes; b++) {
            sl_buffer_append_byte(&text, 'x');
        }
        sl_buffer_append_text(&text, "\r\n");
    }
    sl_buffer_append_text(&text, "Content-Length: 0\r\n\r\n");
    ck_assert_ptr_nonnull(sl_buffer_text(&text));
    return (char *)sl_buffer_take(&text, &bytes);
}

START_TEST(long_headers_are_refused_as_what_they_are) {
    const struct {
        size_t lines;
        size_t bytes;
        sl_error_class error_class;
        const char *words;
    } answers[] = {
        {30, 10000, SL_ERROR_FATAL, "headers are longer than 262144 bytes"},
        {1, 120000, SL_ERROR_NO_MEMORY, "a header of the answer is longer than"},
    };
    for (size_t i = 0; i < SL_ARRAY_LENGTH(answers); i++) {
        char *answer_text = answer_with_headers(answers[i].lines, answers[i].bytes);
        begin((const char *const[]){answer_text, NULL}, (sl_http_options){0});
        sl_http_request request = get();
        sl_http_answer answer;
        expect_error(sl_http_perform(http, &request, &answer), answers[i].error_class,
                     answers[i].words);
        end();
        free(answer_text);
    }
}
END_TEST

static void take_cancelled(void *arg, const sl_http_response *response, sl_error *error) {
    ck_assert_ptr_null(response);
    ck_assert(sl_error_is(error, SL_ERROR_RETRIABLE));
    sl_error_free(error);
    (*(int *)arg)++;
}

START_TEST(closing_ends_what_is_under_way) {
    begin((const char *const[]){SERVER_SILENT, NULL}, (sl_http_options){0});
    sl_http_request request = get();
    int cancelled = 0;
    for (int i = 0; i < 3; i++) {
        ck_assert_ptr_null(sl_http_send(http, &request, take_cancelled, &cancelled));
    }
    end();
    ck_assert_int_eq(cancelled, 3);
}
END_TEST

/* ---- pauses ---- */

static uint64_t pause_for(uint32_t attempt, const char *headers, uint64_t random, int64_t now_us) {
    sl_http_response response = {.headers = headers};
    return sl_http_retry_pause_ms(attempt, headers != NULL ? &response : NULL, random, now_us);
}

START_TEST(pauses_grow_and_obey) {
    ck_assert_uint_eq(pause_for(1, NULL, 0, 0), 50);
    ck_assert_uint_eq(pause_for(1, NULL, 50, 0), 100);
    ck_assert_uint_eq(pause_for(4, NULL, 0, 0), 400);
    ck_assert_uint_eq(pause_for(30, NULL, 0, 0), 5000);
    ck_assert_uint_eq(pause_for(1, "retry-after: 7\n", 0, 0), 7000);
    ck_assert_uint_eq(pause_for(1, "retry-after-ms: 70\n", 0, 0), 70);
    ck_assert_uint_eq(pause_for(1, "retry-after-ms: 10\n", 0, 0), 50);
    ck_assert_uint_eq(pause_for(1, "retry-after: soon\n", 0, 0), 50);
    ck_assert_uint_eq(pause_for(1, "retry-after: 99999999999\n", 0, 0), 3600000);
    const int64_t at_s = INT64_C(1445412480); /* Wed, 21 Oct 2015 07:28:00 GMT */
    ck_assert_uint_eq(
        pause_for(1, "retry-after: Wed, 21 Oct 2015 07:28:00 GMT\n", 0, (at_s - 9) * 1000000),
        9000);
}
END_TEST

/* ---- tokens ---- */

#define TOKEN(name, seconds)                                                                       \
    "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"access_token\":\"" name                        \
    "\",\"expires_in\":" seconds "}"

static sl_http_auth *token_auth(const sl_credential *credential) {
    sl_http_auth *auth = NULL;
    sl_error *error = sl_http_token_auth(credential, &auth);
    ck_assert_msg(error == NULL, "%s", error == NULL ? "" : sl_error_message(error));
    return auth;
}

static char authority[64];
static sl_credential secret_credential(void) {
    snprintf(authority, sizeof(authority), "http://127.0.0.1:%d", server.port);
    return (sl_credential){.struct_bytes = sizeof(sl_credential),
                           .kind = SL_CREDENTIAL_CLIENT_SECRET,
                           .scope = "https://storage.azure.com/.default",
                           .tenant = "tenant",
                           .client = "client",
                           .secret = "a+b/c=",
                           .authority = authority};
}

static void expect_ok(const sl_http_request *request) {
    sl_http_answer answer;
    sl_error *error = sl_http_perform(http, request, &answer);
    ck_assert_msg(error == NULL, "%s", error == NULL ? "" : sl_error_message(error));
    ck_assert_int_eq(answer.response.status, 200);
    sl_http_answer_free(&answer);
}

/* `n` requests with the credential are answered well; then all ends. */
static void run_authorized(const sl_credential *credential, int n) {
    sl_http_auth *auth = token_auth(credential);
    sl_http_request request = get();
    request.auth = auth;
    for (int i = 0; i < n; i++) {
        expect_ok(&request);
    }
    end();
    sl_http_auth_close(auth);
}

START_TEST(a_token_is_fetched_once_and_used) {
    begin((const char *const[]){TOKEN("aaaaaaaaaa", "3600"), OK, NULL}, (sl_http_options){0});
    sl_credential credential = secret_credential();
    run_authorized(&credential, 2);
    ck_assert_uint_eq(server.n_requests, 3);
    ck_assert_ptr_nonnull(strstr(server.requests[0], "POST /tenant/oauth2/v2.0/token "));
    ck_assert_ptr_nonnull(strstr(server.requests[1], "Authorization: Bearer aaaaaaaaaa\r\n"));
    ck_assert_ptr_nonnull(strstr(server.requests[2], "Authorization: Bearer aaaaaaaaaa\r\n"));
}
END_TEST

/* Longer than a clock of microseconds counts. */
START_TEST(a_token_may_claim_to_live_for_ever) {
    begin((const char *const[]){TOKEN("aaaaaaaaaa", "999999999999999"), OK, NULL},
          (sl_http_options){0});
    sl_credential credential = secret_credential();
    run_authorized(&credential, 2);
    ck_assert_uint_eq(server.n_requests, 3);
    ck_assert_ptr_nonnull(strstr(server.requests[2], "Authorization: Bearer aaaaaaaaaa\r\n"));
}
END_TEST

START_TEST(a_managed_identity_asks_the_metadata_service) {
    begin((const char *const[]){TOKEN("aaaaaaaaaa", "\"60000\""), OK, NULL}, (sl_http_options){0});
    sl_credential credential = secret_credential();
    credential.kind = SL_CREDENTIAL_MANAGED_IDENTITY;
    credential.identity_endpoint = authority;
    run_authorized(&credential, 1);
    ck_assert_ptr_nonnull(strstr(server.requests[0],
                                 "GET /metadata/identity/oauth2/token?api-version=2018-02-01&"
                                 "resource=https%3A%2F%2Fstorage.azure.com&client_id=client "));
    ck_assert_ptr_nonnull(strstr(server.requests[0], "Metadata: true\r\n"));
}
END_TEST

START_TEST(app_service_has_a_metadata_service_of_its_own) {
    begin((const char *const[]){TOKEN("aaaaaaaaaa", "3600"), OK, NULL}, (sl_http_options){0});
    sl_credential credential = secret_credential();
    credential.kind = SL_CREDENTIAL_MANAGED_IDENTITY;
    char endpoint[96];
    snprintf(endpoint, sizeof(endpoint), "%s/msi/token", authority);
    setenv("IDENTITY_ENDPOINT", endpoint, 1);
    setenv("IDENTITY_HEADER", "only-for-us", 1);
    run_authorized(&credential, 1);
    ck_assert_ptr_nonnull(strstr(server.requests[0],
                                 "GET /msi/token?api-version=2019-08-01&"
                                 "resource=https%3A%2F%2Fstorage.azure.com&client_id=client "));
    ck_assert_ptr_nonnull(strstr(server.requests[0], "X-IDENTITY-HEADER: only-for-us\r\n"));
}
END_TEST

/* What the environment provides for, and what is sent then. */
static const struct {
    const char *secret, *token_file;
    const char *sent;
} defaults[] = {
    {"a-secret", __FILE__, "client_secret=a-secret"},
    {NULL, __FILE__, "client_assertion="},
    {NULL, NULL, "GET /metadata/identity/oauth2/token?"},
};

START_TEST(the_default_is_the_first_that_the_environment_has) {
    static const char *const names[] = {"AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE"};
    const char *const values[] = {defaults[_i].secret, defaults[_i].token_file};
    begin((const char *const[]){TOKEN("aaaaaaaaaa", "3600"), OK, NULL}, (sl_http_options){0});
    sl_credential credential = secret_credential();
    credential.kind = SL_CREDENTIAL_DEFAULT;
    credential.tenant = credential.client = credential.secret = NULL;
    credential.identity_endpoint = authority;
    setenv("AZURE_TENANT_ID", "tenant", 1);
    setenv("AZURE_CLIENT_ID", "client", 1);
    for (size_t i = 0; i < SL_ARRAY_LENGTH(names); i++) {
        unsetenv(names[i]);
        if (values[i] != NULL) {
            setenv(names[i], values[i], 1);
        }
    }
    run_authorized(&credential, 1);
    ck_assert_msg(strstr(server.requests[0], defaults[_i].sent) != NULL, "%s", server.requests[0]);
}
END_TEST

START_TEST(a_short_token_is_used_too) {
    begin((const char *const[]){TOKEN("aaaaaaaaaa", "40"), OK, NULL}, (sl_http_options){0});
    sl_credential credential = secret_credential();
    run_authorized(&credential, 2);
    ck_assert_uint_eq(server.n_requests, 3);
}
END_TEST

START_TEST(a_refused_token_is_replaced_once) {
    begin((const char *const[]){TOKEN("aaaaaaaaaa", "3600"), DENIED, TOKEN("bbbbbbbbbb", "3600"),
                                OK, DENIED, TOKEN("cccccccccc", "3600"), DENIED, NULL},
          (sl_http_options){0});
    sl_credential credential = secret_credential();
    sl_http_auth *auth = token_auth(&credential);
    sl_http_request request = get();
    request.auth = auth;
    expect_ok(&request);
    sl_http_answer answer;
    ck_assert_ptr_null(sl_http_perform(http, &request, &answer));
    ck_assert_int_eq(answer.response.status, 401);
    sl_http_answer_free(&answer);
    end();
    sl_http_auth_close(auth);
    static const char *const used[] = {"POST", "aaaa", "POST", "bbbb", "bbbb", "POST", "cccc"};
    ck_assert_uint_eq(server.n_requests, SL_ARRAY_LENGTH(used));
    for (size_t i = 0; i < SL_ARRAY_LENGTH(used); i++) {
        ck_assert_msg(strstr(server.requests[i], used[i]) != NULL, "%zu: %s", i,
                      server.requests[i]);
    }
}
END_TEST

START_TEST(a_metadata_service_is_asked_past_the_proxy) {
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    begin((const char *const[]){TOKEN("aaaaaaaaaa", "3600"), OK, NULL}, (sl_http_options){0});
    sl_credential credential = secret_credential();
    credential.kind = SL_CREDENTIAL_MANAGED_IDENTITY;
    credential.identity_endpoint = authority;
    sl_http_auth *auth = token_auth(&credential);
    sl_http_request request = get();
    request.auth = auth;
    request.max_attempts = 1;
    sl_http_answer answer;
    expect_error(sl_http_perform(http, &request, &answer), SL_ERROR_RETRIABLE, "127.0.0.1");
    end();
    sl_http_auth_close(auth);
    ck_assert_uint_eq(server.n_requests, 1);
    ck_assert_ptr_nonnull(strstr(server.requests[0], "GET /metadata/identity/oauth2/token?"));
}
END_TEST

START_TEST(a_refused_credential_says_why_without_the_secret) {
    static const char refused[] =
        "HTTP/1.1 401 No\r\nConnection: close\r\n\r\n"
        "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS7000215: wrong one\"}";
    begin((const char *const[]){refused, NULL}, (sl_http_options){0});
    sl_credential credential = secret_credential();
    sl_http_auth *auth = token_auth(&credential);
    sl_http_request request = get();
    request.auth = auth;
    sl_http_answer answer;
    expect_error(sl_http_perform(http, &request, &answer), SL_ERROR_FATAL,
                 "AADSTS7000215: wrong one (answer 401); check tenant, client_id");
    end();
    sl_http_auth_close(auth);
}
END_TEST

START_TEST(a_missing_part_of_a_credential_is_named) {
    unsetenv("AZURE_TENANT_ID");
    unsetenv("AZURE_CLIENT_ID");
    unsetenv("AZURE_CLIENT_SECRET");
    sl_http_auth *auth = NULL;
    sl_credential credential = {
        .struct_bytes = sizeof(credential), .kind = SL_CREDENTIAL_CLIENT_SECRET, .scope = "s"};
    expect_error(sl_http_token_auth(&credential, &auth), SL_ERROR_CONFIG, "AZURE_TENANT_ID");
    credential.tenant = "t";
    expect_error(sl_http_token_auth(&credential, &auth), SL_ERROR_CONFIG, "AZURE_CLIENT_ID");
    setenv("AZURE_CLIENT_ID", "c", 1);
    expect_error(sl_http_token_auth(&credential, &auth), SL_ERROR_CONFIG,
                 "\"client_secret\" is missing");
    unsetenv("AZURE_CLIENT_ID");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("http");
    TCase *requests = tcase_create("requests");
    tcase_add_test(requests, a_response_has_status_headers_and_body);
    tcase_add_test(requests, what_may_pass_is_tried_again);
    tcase_add_test(requests, attempts_end_with_the_last_answer);
    tcase_add_test(requests, no_answer_is_an_error_that_may_pass);
    tcase_add_test(requests, a_long_answer_is_refused);
    tcase_add_test(requests, long_headers_are_refused_as_what_they_are);
    tcase_add_test(requests, closing_ends_what_is_under_way);
    tcase_add_test(requests, pauses_grow_and_obey);
    suite_add_tcase(suite, requests);
    TCase *tokens = tcase_create("tokens");
    tcase_add_test(tokens, a_token_is_fetched_once_and_used);
    tcase_add_test(tokens, a_token_may_claim_to_live_for_ever);
    tcase_add_test(tokens, a_managed_identity_asks_the_metadata_service);
    tcase_add_test(tokens, app_service_has_a_metadata_service_of_its_own);
    tcase_add_loop_test(tokens, the_default_is_the_first_that_the_environment_has, 0,
                        SL_ARRAY_LENGTH(defaults));
    tcase_add_test(tokens, a_short_token_is_used_too);
    tcase_add_test(tokens, a_refused_token_is_replaced_once);
    tcase_add_test(tokens, a_metadata_service_is_asked_past_the_proxy);
    tcase_add_test(tokens, a_refused_credential_says_why_without_the_secret);
    tcase_add_test(tokens, a_missing_part_of_a_credential_is_named);
    suite_add_tcase(suite, tokens);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
