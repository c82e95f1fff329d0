/* Cards for tests that have none: the device properties that cuDNN's heuristics ask for. */
#ifndef FX_TESTS_CUDA_CARDS_H
#define FX_TESTS_CUDA_CARDS_H

#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* What tells one card from another; from data sheets. */
struct card {
    const char *word, *name;
    int version, n_sms, shared_optin, clock_khz, memory_khz, memory_bits;
    long long memory_bytes, l2_bytes;
};

/* A card by its word, or NULL. */
static inline const struct card *find_card(const char *word)
{
    static const struct card cards[] = {
        { "h200", "NVIDIA H200", 900, 132, 232448, 1980000, 3201000, 6144, 150109880320, 62914560 },
        { "a100", "NVIDIA A100-SXM4-80GB", 800, 108, 166912, 1410000, 1593000, 5120, 85899345920,
          41943040 },
        { "b200", "NVIDIA B200", 1000, 148, 232448, 1965000, 3996000, 8192, 193273528320,
          132120576 },
        { "rtx3090", "NVIDIA GeForce RTX 3090", 860, 82, 101376, 1695000, 9751000, 384, 25769803776,
          6291456 },
        { "rtx4090", "NVIDIA GeForce RTX 4090", 890, 128, 101376, 2520000, 10501000, 384,
          25769803776, 75497472 },
        { "rtx5090", "NVIDIA GeForce RTX 5090", 1200, 170, 101376, 2407000, 14001000, 512,
          34359738368, 100663296 },
        /* Without bf16; with CUDA 12 and cuDNN up to 9.10. */
        { "v100", "Tesla V100-SXM2-32GB", 700, 80, 98304, 1530000, 877000, 4096, 34359738368,
          6291456 },
    };

    for (size_t i = 0; i < sizeof cards / sizeof cards[0]; i++)
        if (strcmp(cards[i].word, word) == 0)
            return &cards[i];
    return NULL;
}

/* cuDNN's JSON of its properties; owned by the caller, NULL when memory is short. */
static inline char *describe_card(const struct card *card)
{
    char *json = NULL;
    int n = asprintf(
        &json,
        "{\"deviceName\":\"%s\",\"deviceVer\":%d,\"multiProcessorCount\":%d,"
        "\"maxSharedMemoryPerBlockOptin\":%d,\"smClockRateKHz\":%d,"
        "\"memClockRateKHz\":%d,\"memoryBusWidth\":%d,\"totalGlobalMem\":%lld,\"l2CacheSize\":%lld,"
        "\"driverVer\":13000,\"cudaDeviceId\":0,\"pciDeviceId\":0,\"isTccDriver\":0,"
        "\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64],"
        "\"regsPerBlock\":65536,\"maxRegistersPerSM\":65536,\"warpSize\":32,"
        "\"maxSharedMemoryPerBlock\":49152,\"reservedSharedMemoryPerBlock\":1024,"
        "\"maxCtasPerSM\":32,\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":2048,"
        "\"supportCoopLaunch\":1}",
        card->name, card->version, card->n_sms, card->shared_optin, card->clock_khz,
        card->memory_khz, card->memory_bits, card->memory_bytes, card->l2_bytes);

    return n < 0 ? NULL : json;
}

#endif
