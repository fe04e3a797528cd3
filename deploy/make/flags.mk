# Compiler flags, and what each part of the tree links.
WARN     := -Wall -Wextra -Wpedantic -Werror -Wshadow -Wconversion
INCLUDES := -Isdk/include -Ilib
CPPFLAGS += -D_GNU_SOURCE -DSL_VERSION='"$(VERSION)"' $(INCLUDES)
CFLAGS   += -std=c11 $(WARN) $(OPT) $(SANITIZE) -fPIC -fvisibility=hidden -fno-omit-frame-pointer
CXXFLAGS += -std=c++17 -Wall -Wextra -Werror $(OPT) $(SANITIZE) -fPIC -fvisibility=hidden -fno-omit-frame-pointer
LDFLAGS  += $(SANITIZE)

# Libraries of ours in link order (users before what they use), and the system libraries that each needs.
LIBS            := delta parquet json window store http columns base
LIBS_plugin     := delta parquet json window columns base
SYS_parquet     := -lzstd -lsnappy -llz4 -lz
SYS_json        := -lpcre2-8
SYS_columns     := -lxxhash
SYS_store       := -lexpat -lcrypto
SYS_http        := -lcurl -lcjson
SYS_delta       :=
SYS_window      :=
SYS_base        := -lpthread -lm
SYS_libs        = $(foreach l,$(LIBS),$(SYS_$(l)))
# System libraries of one plugin beyond those of our libraries: SYS_plugin_NAME.
SYS_plugin_kafka := -lrdkafka
SYS_plugin_powerbi-sink := -lcjson -lxxhash
# mimalloc replaces malloc where Debian has it; sanitizer builds keep their own allocator.
MIMALLOC        := $(if $(SANITIZE),,$(shell pkg-config --libs mimalloc 2>/dev/null || { ls /usr/lib/*/libmimalloc.so >/dev/null 2>&1 && echo -lmimalloc; }))
# ThreadSanitizer does not know C11 threads, which librdkafka starts; tests/support/c11_threads.c.
TSAN_OBJECTS    := $(if $(findstring thread,$(SANITIZE)),$(BUILD)/obj/tests/support/c11_threads.c.o)
SYS_runtime     := -luv -lmicrohttpd -lgnutls -lcjson -ldl
