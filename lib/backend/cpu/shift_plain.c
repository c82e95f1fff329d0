/* The loops of shifted products for any processor: tiles are arrays.  No device uses them; they
 * show on every machine that the pieces are cut and packed as they should be. */
#define BLOCK 16
#define FMA 0
#define TARGET
#define TILES struct tile tiles[8]
#define ZERO(t) memset(&tiles[t], 0, sizeof tiles[t])
#define LOAD(t, from, row_bytes) load_tile(&tiles[t], from, row_bytes)
#define STORE(t, to, row_bytes) store_tile(&tiles[t], to, row_bytes)
#define DOT(c, a, b) add_products(&tiles[c], &tiles[a], &tiles[b])
#define TABLE fx_shift_plain
#include "backend/cpu/vector_internal.h"

#include <string.h>

struct tile {
    unsigned char rows[16][64];
};

static void begin(void)
{
}

static void end(void)
{
}

static void load_tile(struct tile *t, const void *from, size_t row_bytes)
{
    for (size_t i = 0; i < 16; i++)
        memcpy(t->rows[i], (const char *)from + i * row_bytes, sizeof t->rows[i]);
}

static void store_tile(const struct tile *t, void *to, size_t row_bytes)
{
    for (size_t i = 0; i < 16; i++)
        memcpy((char *)to + i * row_bytes, t->rows[i], sizeof t->rows[i]);
}

static float bf16_at(const struct tile *t, int row, int column)
{
    uint32_t bits;
    uint16_t half;
    float x;

    memcpy(&half, t->rows[row] + 2 * column, sizeof half);
    bits = (uint32_t)half << 16;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* c (16 x 16, f32) += a (16 x 32, bf16) b, where row k of b has rows 2 k and 2 k + 1 of its matrix
 * side by side. */
static void add_products(struct tile *c, const struct tile *a, const struct tile *b)
{
    float left[16][32], right[32][16], sums[16][16];

    memcpy(sums, c, sizeof sums);
    for (int i = 0; i < 16; i++)
        for (int k = 0; k < 32; k++) {
            left[i][k] = bf16_at(a, i, k);
            right[k][i] = bf16_at(b, k / 2, 2 * i + k % 2);
        }
    for (int i = 0; i < 16; i++)
        for (int k = 0; k < 32; k++)
            for (int j = 0; j < 16; j++)
                sums[i][j] += left[i][k] * right[k][j];
    memcpy(c, sums, sizeof sums);
}

#include "backend/cpu/shift_template_internal.h"
