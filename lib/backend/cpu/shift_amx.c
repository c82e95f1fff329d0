/* The loops of shifted products for AMX: tiles of the processor. */
#if defined(__x86_64__)
#define BLOCK 16
#define FMA 0
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,amx-tile,amx-bf16")))
#define TILES (void)0
#define ZERO(t) _tile_zero(t)
#define LOAD(t, from, row_bytes) _tile_loadd(t, from, row_bytes)
#define STORE(t, to, row_bytes) _tile_stored(t, to, row_bytes)
#define DOT(c, a, b) _tile_dpbf16ps(c, a, b)
#define TABLE fx_shift_amx
#include "backend/cpu/shift_internal.h"
#include "backend/cpu/vector_internal.h"

#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Linux's numbers, of the call and of the state: its header is younger than some systems. */
enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };

bool fx_shift_amx_allowed(void)
{
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

/* The instruction's own table: palette 1, eight tiles of 16 rows of 64 bytes. */
struct configuration {
    uint8_t palette, start, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

#define EIGHT(x)                                                                                   \
    {                                                                                              \
        x, x, x, x, x, x, x, x                                                                     \
    }
static const _Alignas(64) struct configuration eight_tiles = { .palette = 1,
                                                               .row_bytes = EIGHT(64),
                                                               .rows = EIGHT(16) };

ENTRY void begin(void)
{
    _tile_loadconfig(&eight_tiles);
}

ENTRY void end(void)
{
    _tile_release();
}

#include "backend/cpu/shift_template_internal.h"
#endif
