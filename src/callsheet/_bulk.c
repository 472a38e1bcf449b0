/* Bodies between a socket and a file, and many files to disk at once: what Python does piece by piece, giving the GIL
 * away and copying each time. Rules:
 *
 *  - One call moves one body, or as much of it as the caller wants; the GIL is not held meanwhile.
 *  - A socket that has nothing to give, or takes nothing, is waited for as long as the caller says, each time anew, as
 *    Python's own sockets do. Ctrl-C ends the wait.
 *  - What was moved is always told, beside what went wrong, and on which side: nothing is lost or moved twice.
 *  - Memory is a buffer on the stack, whatever the size of the body.
 */

#define PY_SSIZE_T_CLEAN
#define _GNU_SOURCE
#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/sendfile.h>
#endif

enum {
    /* On the stack of a thread, which has at least 512 KiB everywhere. */
    BUFFER_BYTES = 128 * 1024,
    /* As much as is sent before Ctrl-C is looked for. */
    MOST_SENT_BYTES = 1 << 20,
};

/* One body under way. `moved` bytes are in the file, or sent. An errno of 0 is none; `ended` is set if the other side
 * (of a file: its end) came before all was moved. */
struct moving {
    int socket;
    int file;
    int64_t size;
    int timeout_ms;
    int64_t moved;
    int socket_error;
    int file_error;
    int ended;
};

/* 0 once the socket is ready, or an errno: ETIMEDOUT, EINTR. */
static int wait_for(int socket, short events, int timeout_ms)
{
    struct pollfd one = {.fd = socket, .events = events};
    int ready = poll(&one, 1, timeout_ms);
    if (ready > 0) {
        return 0;
    }
    return ready == 0 ? ETIMEDOUT : errno;
}

/* 0, or the errno of a write that failed. `moved` counts what was written before. */
static int write_all(struct moving *m, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write(m->file, data, size);
        if (written < 0) {
            if (errno == EINTR) {
                continue; /* a file is not waited for: the next look for Ctrl-C is near */
            }
            return errno;
        }
        data += written;
        size -= (size_t)written;
        m->moved += written;
    }
    return 0;
}

/* Receives into the file until `size` bytes are there, something goes wrong, or a signal comes (EINTR). `buffer` begins
 * with `held` bytes that were received before. */
static void receive_body(struct moving *m, uint8_t *buffer, size_t held)
{
    while (m->moved < m->size) {
        int64_t left = m->size - m->moved;
        size_t wanted = left < BUFFER_BYTES ? (size_t)left : BUFFER_BYTES;
        while (held < wanted && !m->socket_error && !m->ended) {
            ssize_t got = recv(m->socket, buffer + held, wanted - held, MSG_DONTWAIT);
            if (got > 0) {
                held += (size_t)got;
            } else if (got == 0) {
                m->ended = 1;
            } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
                m->socket_error = wait_for(m->socket, POLLIN, m->timeout_ms);
            } else {
                m->socket_error = errno;
            }
        }
        m->file_error = write_all(m, buffer, held);
        held = 0;
        if (m->socket_error || m->file_error || m->ended) {
            return;
        }
    }
}

#ifdef __linux__
/* Sends from where the file stands until `size` bytes have gone, something goes wrong, or a signal comes (EINTR). */
static void send_body(struct moving *m)
{
    while (m->moved < m->size && !m->socket_error && !m->file_error && !m->ended) {
        int64_t left = m->size - m->moved;
        ssize_t sent = sendfile(m->socket, m->file, NULL, left < MOST_SENT_BYTES ? (size_t)left : MOST_SENT_BYTES);
        if (sent > 0) {
            m->moved += sent;
        } else if (sent == 0) {
            m->ended = 1;
        } else if (errno == EAGAIN) {
            m->socket_error = wait_for(m->socket, POLLOUT, m->timeout_ms);
        } else if (errno == EIO || errno == EINVAL || errno == EBADF || errno == ESTALE) {
            m->file_error = errno;
        } else {
            m->socket_error = errno;
        }
    }
}
#endif

/* Whether to go on after a signal: 1, or 0 with an exception set if its handler raised. */
static int goes_on(struct moving *m)
{
    if (m->socket_error != EINTR) {
        return 0;
    }
    m->socket_error = 0;
    return PyErr_CheckSignals() == 0;
}

static PyObject *told(const struct moving *m)
{
    return PyErr_Occurred() ? NULL : Py_BuildValue("(Lii)", (long long)m->moved, m->socket_error, m->file_error);
}

PyDoc_STRVAR(receive_doc,
             "receive(socket, file, begun, size_bytes, timeout_ms, /)\n--\n\n"
             "Write `size_bytes` bytes into a file: those that were `begun`, at most BEGUN_BYTES, and what comes from the\n"
             "socket after them. Both are descriptors.\n\n"
             "Returns (written_bytes, socket_error, file_error): errnos, or 0. Fewer bytes without an error: the other\n"
             "side ended the connection. A wait of more than `timeout_ms` for a byte is ETIMEDOUT.");

static PyObject *receive(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    struct moving m = {0};
    const char *begun;
    Py_ssize_t begun_bytes;
    long long size;
    if (!PyArg_ParseTuple(arguments, "iiy#Li:receive", &m.socket, &m.file, &begun, &begun_bytes, &size,
                          &m.timeout_ms)) {
        return NULL;
    }
    if (size < 0 || begun_bytes > BUFFER_BYTES || begun_bytes > size) {
        PyErr_SetString(PyExc_ValueError, "more was begun than is to come, or than there is room for");
        return NULL;
    }
    m.size = size;
    size_t held = (size_t)begun_bytes;
    do {
        Py_BEGIN_ALLOW_THREADS
        uint8_t buffer[BUFFER_BYTES];
        memcpy(buffer, begun, held);
        receive_body(&m, buffer, held);
        Py_END_ALLOW_THREADS
        held = 0; /* after a signal: it is in the file */
    } while (goes_on(&m));
    return told(&m);
}

#ifdef __linux__
PyDoc_STRVAR(send_doc,
             "send(socket, file, size_bytes, timeout_ms, /)\n--\n\n"
             "Send the next `size_bytes` bytes of a file. Both are descriptors; there is no TLS between them.\n\n"
             "Returns (sent_bytes, socket_error, file_error): errnos, or 0. Fewer bytes without an error: the file ended.\n"
             "A wait of more than `timeout_ms` until the socket takes a byte is ETIMEDOUT.");

static PyObject *send_(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    struct moving m = {0};
    long long size;
    if (!PyArg_ParseTuple(arguments, "iiLi:send", &m.socket, &m.file, &size, &m.timeout_ms)) {
        return NULL;
    }
    m.size = size;
    do {
        Py_BEGIN_ALLOW_THREADS
        send_body(&m);
        Py_END_ALLOW_THREADS
    } while (goes_on(&m));
    return told(&m);
}
#endif

/* 0, or an errno. */
static int flush_one(int file)
{
    int failed;
    do {
        failed = fsync(file) < 0;
    } while (failed && errno == EINTR);
    return failed ? errno : 0;
}

/* Every file is on its way to the disk before the first is waited for: then one commit of a journal is for all of them. */
static void flush_all(const int *files, int *errors, size_t count)
{
#ifdef __linux__
    for (size_t i = 0; i < count; i++) {
        sync_file_range(files[i], 0, 0, SYNC_FILE_RANGE_WRITE); /* a hint: fsync tells what went wrong */
    }
#endif
    for (size_t i = 0; i < count; i++) {
        errors[i] = flush_one(files[i]);
    }
}

static PyObject *ints_as_list(const int *values, size_t count)
{
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list && i < count; i++) {
        PyObject *value = PyLong_FromLong(values[i]);
        if (!value || PyList_SetItem(list, (Py_ssize_t)i, value) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

/* Fills `files` from a list of descriptors. -1 with an exception set if one is none. */
static int descriptors(PyObject *list, int *files, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        PyObject *item = PyList_GetItem(list, (Py_ssize_t)i);
        long value = item ? PyLong_AsLong(item) : -1;
        if (PyErr_Occurred()) {
            return -1;
        }
        if (value < 0 || value > INT_MAX) {
            PyErr_SetString(PyExc_ValueError, "no descriptor");
            return -1;
        }
        files[i] = (int)value;
    }
    return 0;
}

PyDoc_STRVAR(flush_doc, "flush(files, /)\n--\n\n"
                        "Make what the files of a list of descriptors hold durable, all at once. Returns an errno, or 0, for each.");

static PyObject *flush(PyObject *Py_UNUSED(module), PyObject *list)
{
    if (!PyList_Check(list)) {
        PyErr_SetString(PyExc_TypeError, "a list of descriptors is wanted");
        return NULL;
    }
    size_t count = (size_t)PyList_Size(list);
    PyObject *result = NULL;
    int *files = PyMem_Calloc(2 * count, sizeof *files); /* a request for nothing is answered with something */
    if (!files) {
        return PyErr_NoMemory();
    }
    if (descriptors(list, files, count) == 0) {
        int *errors = files + count;
        Py_BEGIN_ALLOW_THREADS
        flush_all(files, errors, count);
        Py_END_ALLOW_THREADS
        result = ints_as_list(errors, count);
    }
    PyMem_Free(files);
    return result;
}

static int initialize(PyObject *module)
{
    return PyModule_AddIntConstant(module, "BEGUN_BYTES", BUFFER_BYTES);
}

static PyMethodDef methods[] = {
    {"receive", receive, METH_VARARGS, receive_doc},
#ifdef __linux__
    {"send", send_, METH_VARARGS, send_doc},
#endif
    {"flush", flush, METH_O, flush_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)initialize},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "callsheet._bulk",
    .m_doc = "Bodies between sockets and files, and many files to disk, without the GIL.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__bulk(void)
{
    return PyModuleDef_Init(&definition);
}
