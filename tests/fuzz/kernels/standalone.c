/* Runs a harness where libFuzzer is not to be had: files, then mutations of them.
 *
 * Usage: HARNESS [-runs=N] [-max_total_time=SECONDS] [-seed=N] [-max_len=BYTES] FILE_OR_FOLDER...
 * An input that ends the program is left as ./crash-standalone.
 */
#define _POSIX_C_SOURCE 200809L

#include <dirent.h>
#include <time.h>

#include "input.h"

enum { MOST_FILES = 4096 };

static struct {
    uint8_t *data;
    size_t size;
} files[MOST_FILES];
static size_t file_count;
static uint64_t state;

static uint32_t below(uint32_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % n;
}

static void read_path(const char *path)
{
    DIR *folder = opendir(path);
    if (folder) {
        for (struct dirent *entry; (entry = readdir(folder));) {
            char inner[4096];
            if (entry->d_name[0] != '.' && snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name) > 0)
                read_path(inner);
        }
        closedir(folder);
        return;
    }
    FILE *file = fopen(path, "rb");
    if (!file || file_count == MOST_FILES)
        return;
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = exactly((int64_t)size + 1, 1);
    if (fread(data, 1, size, file) == size) {
        files[file_count].data = data;
        files[file_count++].size = size;
    }
    fclose(file);
}

/* Overwrites, repeats, cuts or appends some bytes. */
static size_t mutate(uint8_t *data, size_t size, size_t most)
{
    for (uint32_t change = 1 + below(6); change; change--) {
        uint32_t kind = below(5);
        if (kind == 0 && size < most)
            data[size++] = (uint8_t)below(256);
        else if (kind == 1 && size > 1)
            size -= 1 + below((uint32_t)size - 1);
        else if (kind == 2 && size > 1)
            data[below((uint32_t)size)] = data[below((uint32_t)size)];
        else if (size)
            data[below((uint32_t)size)] = (uint8_t)below(256);
    }
    return size;
}

static void run(const uint8_t *data, size_t size)
{
    FILE *kept = fopen("crash-standalone", "wb");
    if (kept) {
        fwrite(data, 1, size, kept);
        fclose(kept);
    }
    LLVMFuzzerTestOneInput(data, size);
}

int main(int count, char **arguments)
{
    long long runs = -1, seconds = 0, seed = 1, most = 256;
    for (int i = 1; i < count; i++) {
        const char *word = arguments[i];
        if (sscanf(word, "-runs=%lld", &runs) + sscanf(word, "-max_total_time=%lld", &seconds)
                + sscanf(word, "-seed=%lld", &seed) + sscanf(word, "-max_len=%lld", &most) == -4 || *word != '-')
            read_path(word);
    }
    state = (uint64_t)seed;
    long long done = 0;
    for (size_t i = 0; i < file_count; i++, done++)
        run(files[i].data, files[i].size);
    uint8_t *data = exactly(most + 1, 1);
    time_t end = time(NULL) + (seconds ? seconds : 1LL << 40);
    for (; (runs < 0 || done < runs) && (runs >= 0 || seconds) && time(NULL) < end; done++) {
        size_t size = 0;
        if (file_count) {
            uint32_t number = below((uint32_t)file_count);
            size = files[number].size < (size_t)most ? files[number].size : (size_t)most;
            memcpy(data, files[number].data, size);
        }
        size = mutate(data, size, (size_t)most);
        uint8_t *exact = exactly((int64_t)size, 1);
        memcpy(exact, data, size);
        run(exact, size);
        free(exact);
    }
    free(data);
    for (size_t i = 0; i < file_count; i++)
        free(files[i].data);
    remove("crash-standalone");
    fprintf(stderr, "Done %lld runs\n", done);
    return 0;
}
