/* clones.h -- several versions of a hot loop, for what the processor has; the loader picks one.
** Feature names, not arch= names: those match one processor model only. */
#ifndef KK_CLONES_H
#define KK_CLONES_H

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__) && !defined(KK_NO_CLONES)
#define KK_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define KK_CLONES
#endif

#endif
