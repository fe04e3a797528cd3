/*
 * Files of the tree inside the program: the assembler takes them in as they are (.incbin), so that
 * nothing has to be found at run time. build.mk says which objects depend on which files.
 */
#ifndef ADMIN_EMBED_H
#define ADMIN_EMBED_H

#include <stdint.h>

/* Declares symbol[] and symbol_end[], the bytes of `path`, from the root of the tree. */
#define EMBED(symbol, path)                                                                        \
    __asm__(".pushsection .rodata\n" #symbol ": .incbin \"" path "\"\n" #symbol                    \
            "_end:\n.popsection\n");                                                               \
    extern const uint8_t symbol[] __attribute__((visibility("hidden")));                           \
    extern const uint8_t symbol##_end[] __attribute__((visibility("hidden")));

#endif /* ADMIN_EMBED_H */
