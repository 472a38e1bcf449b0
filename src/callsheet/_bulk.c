/* Many files to disk, all that is in a folder: what Python does piece by piece, giving the GIL away and taking it again each
 * time. Rules:
 *
 *  - One call makes, writes, flushes or names a batch of files, reads some, or looks at one folder; the GIL is not held meanwhile.
 *  - Threads of its own do nothing but wait for the disk, and end before the call does. Signals do not reach them.
 *  - What went wrong is told of each file by itself.
 */

#define PY_SSIZE_T_CLEAN
#define _GNU_SOURCE
#include <Python.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    /* Past the page cache goes what begins and ends at a multiple of this, in memory and in the file: every disk and file
     * system that can do so at all can do it then. */
    PAGE_BYTES = 4096,
    /* Less is sooner on the disk together with other files. */
    LEAST_DIRECT_BYTES = 128 * 1024,
    /* So many files of a batch are flushed at a time: the disk answers them as soon as it would answer one. */
    MOST_FLUSHED_AT_ONCE = 16,
    /* Of each thread that does so. */
    STACK_BYTES = 128 * 1024,
    /* So many are looked at before Ctrl-C is looked for. */
    MOST_LOOKED_AT = 4096,
    /* What is told of an item besides its name: a NUL, four slashes, a letter, and three numbers of 20 digits at most. */
    MOST_TOLD_BYTES = 1 + 4 + 1 + 3 * 20,
};

/* A descriptor, or -1 with errno set: a signal is no reason. */
static int open_patiently(const char *path, int flags)
{
    int file;
    do {
        file = open(path, flags, 0666);
    } while (file < 0 && errno == EINTR);
    return file;
}

/* A new file: what is to be in it, from where it stands, and its modification time. `error` is an errno, or 0. */
struct fresh {
    int file;
    Py_buffer data;
    struct timespec modified;
    int error;
};

/* One write, past the page cache if so much of it as is whole pages can go there. */
static ssize_t write_some(int file, const uint8_t *data, size_t size)
{
#ifdef O_DIRECT
    size_t whole = size - size % PAGE_BYTES;
    int flags = size >= LEAST_DIRECT_BYTES && (uintptr_t)data % PAGE_BYTES == 0 ? fcntl(file, F_GETFL) : -1;
    if (flags >= 0 && fcntl(file, F_SETFL, flags | O_DIRECT) == 0) {
        ssize_t written = write(file, data, whole);
        int failed = errno;
        if (fcntl(file, F_SETFL, flags) < 0) {
            return -1; /* the rest could not be written as any other file */
        }
        /* Else this file system, or this place in the file, cannot. */
        if (written >= 0 || (failed != EINVAL && failed != EOPNOTSUPP && failed != ENOTSUP)) {
            errno = failed;
            return written;
        }
    }
#endif
    return write(file, data, size);
}

/* 0, or an errno. */
static int write_all(int file, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write_some(file, data, size);
        if (written == 0) {
            return EIO; /* a file that takes nothing, and does not say why */
        }
        if (written < 0 && errno != EINTR) {
            return errno;
        }
        if (written > 0) {
            data += written;
            size -= (size_t)written;
        }
    }
    return 0;
}

/* 0, or an errno. */
static int date(int file, struct timespec modified)
{
    struct timespec both[2] = {modified, modified};
    return futimens(file, both) < 0 ? errno : 0;
}

/* 0, or an errno. */
static int flush(int file)
{
    int failed;
    do {
        failed = fsync(file) < 0;
    } while (failed && errno == EINTR);
    return failed ? errno : 0;
}

/* Whether the file ends where writing ended: 0, or an errno. */
static int measure(int file)
{
    struct stat status;
    off_t end = lseek(file, 0, SEEK_CUR);
    if (end < 0 || fstat(file, &status) < 0) {
        return errno;
    }
    return status.st_size == end ? 0 : EIO;
}

/* Files to be flushed, by several threads: each takes the next one. */
struct flushing {
    struct fresh *files;
    size_t count;
    atomic_size_t next;
};

static void *flush_some(void *shared)
{
    struct flushing *f = shared;
    for (size_t i; (i = atomic_fetch_add(&f->next, 1)) < f->count;) {
        if (!f->files[i].error) {
            f->files[i].error = flush(f->files[i].file);
        }
    }
    return NULL;
}

/* Flush all files that are without an error. A thread that cannot be started is done without. */
static void flush_all(struct fresh *files, size_t count)
{
    struct flushing f = {.files = files, .count = count};
    pthread_t others[MOST_FLUSHED_AT_ONCE - 1];
    size_t started = 0;
    pthread_attr_t small;
    sigset_t every, before;
    atomic_init(&f.next, 0);
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before); /* the threads inherit it */
    if (count > 1 && pthread_attr_init(&small) == 0) {
        pthread_attr_setstacksize(&small, STACK_BYTES);
        while (started + 1 < count && started < MOST_FLUSHED_AT_ONCE - 1
               && pthread_create(&others[started], &small, flush_some, &f) == 0) {
            started++;
        }
        pthread_attr_destroy(&small);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    flush_some(&f);
    while (started > 0) {
        pthread_join(others[--started], NULL);
    }
}

/* Every file is on its way to the disk before the first is waited for: then one commit of a journal is for all of them. */
static void write_durably_all(struct fresh *files, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct fresh *one = &files[i];
        one->error = write_all(one->file, one->data.buf, (size_t)one->data.len);
        if (!one->error) {
            one->error = date(one->file, one->modified);
        }
#ifdef __linux__
        if (!one->error) {
            sync_file_range(one->file, 0, 0, SYNC_FILE_RANGE_WRITE); /* a hint: fsync tells what went wrong */
        }
#endif
    }
    flush_all(files, count);
    for (size_t i = 0; i < count; i++) {
        if (!files[i].error) {
            files[i].error = measure(files[i].file);
        }
    }
}

static PyObject *errors_as_list(const struct fresh *files, size_t count)
{
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list && i < count; i++) {
        PyObject *value = PyLong_FromLong(files[i].error);
        if (!value || PyList_SetItem(list, (Py_ssize_t)i, value) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

PyDoc_STRVAR(write_durably_doc,
             "write_durably(files, /)\n--\n\n"
             "Write each (descriptor, data, seconds, nanoseconds) of a list of tuples: the data from where the file stands,\n"
             "which is to be its end then, and its modification time; and make all of them durable at once. Returns an errno,\n"
             "or 0, for each.\n\n"
             "What is large, and begins at a page in memory and in the file, goes past the page cache where that can be.");

static PyObject *write_durably(PyObject *Py_UNUSED(module), PyObject *list)
{
    if (!PyList_Check(list)) {
        PyErr_SetString(PyExc_TypeError, "a list of files is wanted");
        return NULL;
    }
    size_t count = (size_t)PyList_Size(list), held = 0;
    struct fresh *files = PyMem_Calloc(count, sizeof *files); /* a request for nothing is answered with something */
    if (!files) {
        return PyErr_NoMemory();
    }
    while (held < count) {
        struct fresh *one = &files[held];
        long long seconds;
        long nanoseconds;
        PyObject *item = PyList_GetItem(list, (Py_ssize_t)held);
        if (!item || !PyArg_ParseTuple(item, "iy*Ll:write_durably", &one->file, &one->data, &seconds, &nanoseconds)) {
            break;
        }
        one->modified = (struct timespec){.tv_sec = (time_t)seconds, .tv_nsec = nanoseconds};
        held++;
    }
    PyObject *result = NULL;
    if (held == count) {
        Py_BEGIN_ALLOW_THREADS
        write_durably_all(files, count);
        Py_END_ALLOW_THREADS
        result = errors_as_list(files, count);
    }
    while (held > 0) {
        PyBuffer_Release(&files[--held].data);
    }
    PyMem_Free(files);
    return result;
}

PyDoc_STRVAR(fsync_doc,
             "fsync(descriptors, /)\n--\n\n"
             "Make a list of files and folders durable, at little more than the cost of one. Returns an errno, or 0, for each.");

static PyObject *fsync_(PyObject *Py_UNUSED(module), PyObject *list)
{
    if (!PyList_Check(list)) {
        PyErr_SetString(PyExc_TypeError, "a list of descriptors is wanted");
        return NULL;
    }
    size_t count = (size_t)PyList_Size(list);
    struct fresh *files = PyMem_Calloc(count, sizeof *files); /* nothing is to be written to them */
    if (!files) {
        return PyErr_NoMemory();
    }
    for (size_t i = 0; i < count && !PyErr_Occurred(); i++) {
        PyObject *item = PyList_GetItem(list, (Py_ssize_t)i);
        long descriptor = item ? PyLong_AsLong(item) : -1;
        if (descriptor > INT_MAX || descriptor < INT_MIN) {
            PyErr_SetString(PyExc_OverflowError, "that is no descriptor");
        }
        files[i].file = (int)descriptor;
    }
    PyObject *result = NULL;
    if (!PyErr_Occurred()) {
        Py_BEGIN_ALLOW_THREADS
        flush_all(files, count);
        Py_END_ALLOW_THREADS
        result = errors_as_list(files, count);
    }
    PyMem_Free(files);
    return result;
}

/* A new file that is to be made, or to get its name. The paths are bytes objects. */
struct naming {
    int file;
    PyObject *path_object, *target_object;
    const char *path, *target;
    int told;
};

static void create_all(struct naming *files, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        files[i].file = open_patiently(files[i].path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC);
        files[i].told = files[i].file < 0 ? -errno : files[i].file;
    }
}

/* A name that is taken stays with the file that has it. */
static void publish_all(struct naming *files, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        files[i].told = linkat(AT_FDCWD, files[i].path, AT_FDCWD, files[i].target, 0) < 0 ? errno : 0;
        if (!files[i].told) {
            unlink(files[i].path); /* the file has its name; this one does no harm */
            close(files[i].file);
        }
    }
}

/* Do something with the files of a list, of which `parse` reads one: 0 if it cannot. Returns what is `told` of each. */
static PyObject *with_names(PyObject *list, int (*parse)(PyObject *, struct naming *), void (*all)(struct naming *, size_t))
{
    if (!PyList_Check(list)) {
        PyErr_SetString(PyExc_TypeError, "a list of files is wanted");
        return NULL;
    }
    size_t count = (size_t)PyList_Size(list), held = 0;
    struct naming *files = PyMem_Calloc(count, sizeof *files);
    if (!files) {
        return PyErr_NoMemory();
    }
    while (held < count && parse(PyList_GetItem(list, (Py_ssize_t)held), &files[held])) {
        files[held].path = PyBytes_AsString(files[held].path_object);
        files[held].target = files[held].target_object ? PyBytes_AsString(files[held].target_object) : NULL;
        held++;
    }
    PyObject *result = NULL;
    if (held == count) {
        Py_BEGIN_ALLOW_THREADS
        all(files, count);
        Py_END_ALLOW_THREADS
        result = PyList_New((Py_ssize_t)count);
        for (size_t i = 0; result && i < count; i++) {
            PyObject *value = PyLong_FromLong(files[i].told);
            if (!value || PyList_SetItem(result, (Py_ssize_t)i, value) < 0) {
                Py_CLEAR(result);
            }
        }
    }
    while (held > 0) {
        held--;
        Py_DECREF(files[held].path_object);
        Py_XDECREF(files[held].target_object);
    }
    PyMem_Free(files);
    return result;
}

static int parse_new(PyObject *path, struct naming *one)
{
    return path && PyUnicode_FSConverter(path, &one->path_object);
}

static int parse_named(PyObject *item, struct naming *one)
{
    return item
           && PyArg_ParseTuple(item, "iO&O&:publish", &one->file, PyUnicode_FSConverter, &one->path_object,
                               PyUnicode_FSConverter, &one->target_object);
}

PyDoc_STRVAR(create_doc,
             "create(paths, /)\n--\n\n"
             "Make new files, open for writing. Returns for each of a list of paths a descriptor, or the errno, negative, that says why not.");

static PyObject *create(PyObject *Py_UNUSED(module), PyObject *list)
{
    return with_names(list, parse_new, create_all);
}

PyDoc_STRVAR(publish_doc,
             "publish(files, /)\n--\n\n"
             "Give each (descriptor, path, target) of a list of tuples the name `target`, if nothing has that; then take `path` away and\n"
             "close it. Returns an errno for each, with nothing done to that file, or 0.");

static PyObject *publish(PyObject *Py_UNUSED(module), PyObject *list)
{
    return with_names(list, parse_named, publish_all);
}

/* What is in a folder. `error` is the errno of the look at it, or 0: then its status is known. */
struct item {
    char *name;
    struct stat status;
    int error;
};

struct looking {
    DIR *folder;
    struct item *items;
    size_t count;
    size_t room;
    char *text;
    size_t size;
    int error;
    int ended;
};

static void open_folder(const char *path, int flags, struct looking *l)
{
    int file = open_patiently(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK | flags);
    l->folder = file < 0 ? NULL : fdopendir(file);
    l->error = l->folder ? 0 : errno;
    if (file >= 0 && !l->folder) {
        close(file);
    }
}

/* 0 if there is room for one more. */
static int make_room(struct looking *l)
{
    if (l->count < l->room) {
        return 0;
    }
    size_t room = l->room ? 2 * l->room : 64;
    struct item *items = realloc(l->items, room * sizeof *items);
    if (!items) {
        return ENOMEM;
    }
    l->items = items;
    l->room = room;
    return 0;
}

/* Looks at the next items of a folder, a symlink as what it is itself. */
static void look(struct looking *l)
{
    for (int looked_at = 0; looked_at < MOST_LOOKED_AT && !l->ended && !l->error; looked_at++) {
        errno = 0;
        struct dirent *entry = readdir(l->folder);
        if (!entry) {
            l->error = errno;
            l->ended = 1;
        } else if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            l->error = make_room(l);
            if (!l->error) {
                struct item *one = &l->items[l->count];
                one->name = strdup(entry->d_name);
                one->error = fstatat(dirfd(l->folder), entry->d_name, &one->status, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;
                l->error = one->name ? 0 : ENOMEM;
                l->count += one->name != NULL;
            }
        }
    }
}

#ifdef __APPLE__
#define MODIFIED st_mtimespec
#define CHANGED st_ctimespec
#else
#define MODIFIED st_mtim
#define CHANGED st_ctim
#endif

static int by_name(const void *one, const void *other)
{
    return strcmp(((const struct item *)one)->name, ((const struct item *)other)->name);
}

static char kind_of(mode_t mode)
{
    return S_ISREG(mode) ? 'f' : S_ISDIR(mode) ? 'd' : S_ISLNK(mode) ? 'l' : 'o';
}

/* All items, by name, as `inventory` tells them. */
static void write_down(struct looking *l)
{
    size_t room = 1;
    for (size_t i = 0; i < l->count; i++) {
        room += strlen(l->items[i].name) + MOST_TOLD_BYTES;
    }
    l->text = malloc(room);
    if (!l->text) {
        l->error = ENOMEM;
        return;
    }
    if (l->count > 1) {
        qsort(l->items, l->count, sizeof *l->items, by_name);
    }
    for (size_t i = 0; i < l->count; i++) {
        const struct item *one = &l->items[i];
        char *end = l->text + l->size;
        *end = '\0';
        int written = 0;
        if (one->error) {
            written = snprintf(end + 1, room - l->size - 1, "%s/e/%d/0/0", one->name, one->error);
        } else {
            const struct stat *status = &one->status;
            written = snprintf(end + 1, room - l->size - 1, "%s/%c/%lld/%lld/%ld", one->name, kind_of(status->st_mode),
                               (long long)status->st_size, (long long)status->MODIFIED.tv_sec,
                               (long)status->MODIFIED.tv_nsec);
        }
        l->size += 1 + (size_t)written;
    }
}

PyDoc_STRVAR(inventory_doc,
             "inventory(folder, follows, /)\n--\n\n"
             "All that is in a folder, in the order of the names' bytes. Of each: a NUL, name, kind (f: file, d: folder, l: symlink,\n"
             "o: other), size in bytes, seconds and nanoseconds of the modification time, as `os.lstat` tells it, with slashes in\n"
             "between; or e for a kind, and an errno for a size, of what cannot be looked at. OSError if the folder cannot be read,\n"
             "or is a symlink that `follows` says not to follow.");

static PyObject *inventory(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *folder, *path;
    int follows;
    if (!PyArg_ParseTuple(arguments, "Op:inventory", &folder, &follows) || !PyUnicode_FSConverter(folder, &path)) {
        return NULL;
    }
    const char *name = PyBytes_AsString(path);
    struct looking l = {0};
    do {
        Py_BEGIN_ALLOW_THREADS
        if (!l.folder) {
            open_folder(name, follows ? 0 : O_NOFOLLOW, &l);
        }
        look(&l);
        if (l.ended && !l.error) {
            write_down(&l);
        }
        Py_END_ALLOW_THREADS
    } while (!l.ended && !l.error && PyErr_CheckSignals() == 0);
    PyObject *result = NULL;
    if (l.error) {
        errno = l.error;
        PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, folder);
    } else if (l.ended) {
        result = PyBytes_FromStringAndSize(l.text, (Py_ssize_t)l.size);
    }
    if (l.folder) {
        closedir(l.folder);
    }
    while (l.count > 0) {
        free(l.items[--l.count].name);
    }
    free(l.items);
    free(l.text);
    Py_DECREF(path);
    return result;
}

/* A file that is read: what it was when it was opened, and, if it is a regular one, what is in it. `error` is an errno, or 0. */
struct whole {
    const char *path;
    struct stat status;
    char *data;
    size_t size;
    int error;
};

static int read_some(int file, struct whole *w, size_t room)
{
    ssize_t got;
    do {
        got = read(file, w->data + w->size, room - w->size);
    } while (got < 0 && errno == EINTR);
    w->error = got < 0 ? errno : 0;
    w->size += got > 0 ? (size_t)got : 0;
    return got > 0;
}

static void read_whole(struct whole *w)
{
    int file = open_patiently(w->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0 || fstat(file, &w->status) < 0) {
        w->error = errno;
    } else if (S_ISREG(w->status.st_mode)) {
        size_t room = (size_t)w->status.st_size + 1; /* so that its end is seen */
        do {
            char *data = realloc(w->data, room);
            w->error = data ? 0 : ENOMEM;
            w->data = data ? data : w->data;
            while (!w->error && w->size < room && read_some(file, w, room)) {
            }
            room *= 2;
        } while (!w->error && 2 * w->size == room); /* it has grown meanwhile */
    }
    if (file >= 0) {
        close(file);
    }
}

PyDoc_STRVAR(read_doc,
             "read(path, /)\n--\n\n"
             "(content, mode, device, inode, size in bytes, mtime s, ns, ctime s, ns) of a file, as it was when it was opened. Of what is no\n"
             "regular file, the content is empty. OSError if it cannot be opened or read; a FIFO is not waited for.");

static PyObject *read_(PyObject *Py_UNUSED(module), PyObject *name)
{
    PyObject *path, *result = NULL;
    struct whole w = {0};
    if (!PyUnicode_FSConverter(name, &path)) {
        return NULL;
    }
    w.path = PyBytes_AsString(path);
    Py_BEGIN_ALLOW_THREADS
    read_whole(&w);
    Py_END_ALLOW_THREADS
    if (w.error) {
        errno = w.error;
        PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, name);
    } else {
        const struct stat *status = &w.status;
        result = Py_BuildValue("(y#iKKLLlLl)", w.data ? w.data : "", (Py_ssize_t)w.size, (int)status->st_mode,
                               (unsigned long long)status->st_dev, (unsigned long long)status->st_ino,
                               (long long)status->st_size, (long long)status->MODIFIED.tv_sec,
                               (long)status->MODIFIED.tv_nsec, (long long)status->CHANGED.tv_sec,
                               (long)status->CHANGED.tv_nsec);
    }
    free(w.data);
    Py_DECREF(path);
    return result;
}

PyDoc_STRVAR(read_each_doc,
             "read_each(paths, /)\n--\n\n"
             "All that is in each file of a list, in one go; None for what is no regular file, or cannot be opened or read.");

static PyObject *read_each(PyObject *Py_UNUSED(module), PyObject *list)
{
    if (!PyList_Check(list)) {
        PyErr_SetString(PyExc_TypeError, "a list of paths is wanted");
        return NULL;
    }
    size_t count = (size_t)PyList_Size(list), held = 0;
    struct whole *files = PyMem_Calloc(count, sizeof *files);
    PyObject **paths = PyMem_Calloc(count, sizeof *paths);
    PyObject *result = NULL;
    if (!files || !paths) {
        PyErr_NoMemory();
    } else {
        while (held < count) {
            PyObject *item = PyList_GetItem(list, (Py_ssize_t)held);
            if (!item || !PyUnicode_FSConverter(item, &paths[held])) {
                break;
            }
            files[held].path = PyBytes_AsString(paths[held]);
            held++;
        }
        if (held == count) {
            Py_BEGIN_ALLOW_THREADS
            for (size_t i = 0; i < count; i++) {
                read_whole(&files[i]);
            }
            Py_END_ALLOW_THREADS
            result = PyList_New((Py_ssize_t)count);
        }
        for (size_t i = 0; result && i < count; i++) {
            const struct whole *w = &files[i];
            PyObject *content = w->error || !S_ISREG(w->status.st_mode)
                                    ? Py_NewRef(Py_None)
                                    : PyBytes_FromStringAndSize(w->data, (Py_ssize_t)w->size);
            if (!content || PyList_SetItem(result, (Py_ssize_t)i, content) < 0) {
                Py_CLEAR(result);
            }
        }
    }
    while (held > 0) {
        free(files[--held].data);
        Py_DECREF(paths[held]);
    }
    PyMem_Free(files);
    PyMem_Free(paths);
    return result;
}

static PyMethodDef methods[] = {
    {"write_durably", write_durably, METH_O, write_durably_doc},
    {"fsync", fsync_, METH_O, fsync_doc},
    {"create", create, METH_O, create_doc},
    {"publish", publish, METH_O, publish_doc},
    {"inventory", inventory, METH_VARARGS, inventory_doc},
    {"read", read_, METH_O, read_doc},
    {"read_each", read_each, METH_O, read_each_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "callsheet._bulk",
    .m_doc = "Many files to disk, and all that is in a folder, without the GIL.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__bulk(void)
{
    return PyModuleDef_Init(&definition);
}
