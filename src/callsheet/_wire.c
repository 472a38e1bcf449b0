/* Requests, answers and bodies over plain sockets: what Python does piece by piece, giving the GIL away and taking it again each
 * time. Rules:
 *
 *  - One call moves one body, or sends one request and receives its answer; the GIL is not held meanwhile.
 *  - A socket that has nothing to give, or takes nothing, is waited for as long as the caller says, each time anew, as
 *    Python's own sockets do. Ctrl-C ends the wait, also one that was pressed just before it.
 *  - What was moved is always told, beside what went wrong, and on which side: nothing is lost or moved twice.
 *  - A file that goes with a request is opened here, just before, and only if it is what was said.
 *  - Of an answer it understands no more than where its body begins, and whether that is what there is room for. All else is the caller's.
 *  - The caller's memory is all that there is.
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
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/sendfile.h>
#endif
#ifndef MSG_MORE
#define MSG_MORE 0
#endif
#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* Python ignores SIGPIPE */
#endif

enum {
    /* As much as is sent before Ctrl-C is looked for. */
    MOST_SENT_BYTES = 1 << 20,
    /* As long as is waited before Ctrl-C is looked for: a signal that comes between two calls of the system interrupts neither. */
    MOST_WAITED_MS = 250,
    /* A longer number of bytes is none. */
    MOST_DIGITS = 18,
};

/* One body under way: `moved` bytes of it are in memory, or sent. An errno of 0 is none; `ended` is set if the giving side
 * (of a file: its end) came before all was moved. `waited_ms` is how long it has been waited for in vain. */
struct moving {
    int socket;
    int file;
    uint8_t *memory;
    int64_t size;
    int timeout_ms;
    int waited_ms;
    int64_t moved;
    int socket_error;
    int file_error;
    int ended;
};

/* 0 once the socket is ready, or an errno: ETIMEDOUT, or EINTR if a signal came or may have come. */
static int wait_for(struct moving *m, short events)
{
    struct pollfd one = {.fd = m->socket, .events = events};
    int left_ms = m->timeout_ms - m->waited_ms;
    int piece_ms = m->timeout_ms >= 0 && left_ms < MOST_WAITED_MS ? left_ms : MOST_WAITED_MS;
    int ready = poll(&one, 1, piece_ms);
    if (ready < 0) {
        return errno;
    }
    if (ready > 0) {
        return 0;
    }
    if (m->timeout_ms < 0) {
        return EINTR;
    }
    m->waited_ms += piece_ms;
    return m->waited_ms < m->timeout_ms ? EINTR : ETIMEDOUT;
}

/* So many bytes more have moved: it is waited for anew. */
static void moves_on(struct moving *m, ssize_t bytes)
{
    m->moved += bytes;
    m->waited_ms = 0;
}

/* Receives until `size` bytes are there, something goes wrong, or a signal comes (EINTR). */
static void receive_body(struct moving *m)
{
    while (m->moved < m->size && !m->socket_error && !m->ended) {
        ssize_t got = recv(m->socket, m->memory + m->moved, (size_t)(m->size - m->moved), MSG_DONTWAIT);
        if (got > 0) {
            moves_on(m, got);
        } else if (got == 0) {
            m->ended = 1;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            m->socket_error = wait_for(m, POLLIN);
        } else {
            m->socket_error = errno;
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
            moves_on(m, sent);
        } else if (sent == 0) {
            m->ended = 1;
        } else if (errno == EAGAIN) {
            m->socket_error = wait_for(m, POLLOUT);
        } else if (errno == EIO || errno == EINVAL || errno == EBADF || errno == ESTALE || errno == ENOSYS
                   || errno == EOPNOTSUPP) {
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

PyDoc_STRVAR(receive_doc,
             "receive(socket, buffer, timeout_ms, /)\n--\n\n"
             "Fill a buffer with what comes from a socket, a descriptor.\n\n"
             "Returns (received_bytes, socket_error): an errno, or 0. Fewer bytes without an error: the other side ended\n"
             "the connection. A wait of more than `timeout_ms` for a byte is ETIMEDOUT.");

static PyObject *receive(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    struct moving m = {0};
    Py_buffer view;
    if (!PyArg_ParseTuple(arguments, "iw*i:receive", &m.socket, &view, &m.timeout_ms)) {
        return NULL;
    }
    m.memory = view.buf;
    m.size = view.len;
    do {
        Py_BEGIN_ALLOW_THREADS
        receive_body(&m);
        Py_END_ALLOW_THREADS
    } while (goes_on(&m));
    PyBuffer_Release(&view);
    return PyErr_Occurred() ? NULL : Py_BuildValue("(Li)", (long long)m.moved, m.socket_error);
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
    return PyErr_Occurred() ? NULL : Py_BuildValue("(Lii)", (long long)m.moved, m.socket_error, m.file_error);
}
#endif

/* One request, with the file at `path` for its body or none, and its answer. What of the body of the answer there is room for in `body`
 * goes there; all else, in the order in which it came, to `answer`. */
struct exchange {
    const char *path;
    struct moving request;
    struct moving file;
    struct moving answer;
    struct moving body;
    int refused;
    int answered;
};

/* Sends until `size` bytes of memory have gone, something goes wrong, or a signal comes (EINTR). */
static void send_memory(struct moving *m, int flags)
{
    while (m->moved < m->size && !m->socket_error) {
        ssize_t sent = send(m->socket, m->memory + m->moved, (size_t)(m->size - m->moved), MSG_DONTWAIT | MSG_NOSIGNAL | flags);
        if (sent >= 0) {
            moves_on(m, sent);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            m->socket_error = wait_for(m, POLLOUT);
        } else {
            m->socket_error = errno;
        }
    }
}

/* Where the lines before a body end, with the empty one after them: 0 if that has not come, -1 if there is a line that ends in another way. */
static int64_t end_of_head(const uint8_t *text, int64_t size)
{
    for (const uint8_t *from = text, *at; (at = memchr(from, '\n', (size_t)(text + size - from))); from = at + 1) {
        if (at == text || at[-1] != '\r') {
            return -1;
        }
        if (at - text >= 3 && at[-2] == '\n') {
            return at - text + 1;
        }
    }
    return 0;
}

/* The number of bytes that a header's value says; -1 if it is no number. */
static int64_t announced(const char *value, const char *end)
{
    while (value < end && (*value == ' ' || *value == '\t')) {
        value++;
    }
    while (end > value && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }
    int64_t size = end > value && end - value <= MOST_DIGITS ? 0 : -1;
    for (; size >= 0 && value < end; value++) {
        size = *value >= '0' && *value <= '9' ? 10 * size + (*value - '0') : -1;
    }
    return size;
}

/* Whether an answer of which the head is this goes on with a body of exactly `size` bytes, the object or a part of it. */
static int brings(const uint8_t *head, int64_t head_size, int64_t size)
{
    static const char ok[] = "HTTP/1.1 200", part[] = "HTTP/1.1 206", length[] = "content-length:", coding[] = "transfer-encoding:";
    const char *line = (const char *)head, *end = line + head_size;
    int64_t told = -1;
    if (head_size < (int64_t)sizeof ok || (memcmp(line, ok, sizeof ok - 1) && memcmp(line, part, sizeof part - 1))) {
        return 0;
    }
    while ((line = memchr(line, '\n', (size_t)(end - line))) && ++line < end) {
        int64_t left = end - line;
        if (left >= (int64_t)sizeof coding && strncasecmp(line, coding, sizeof coding - 1) == 0) {
            return 0;
        }
        if (left >= (int64_t)sizeof length && strncasecmp(line, length, sizeof length - 1) == 0) {
            const char *value = line + sizeof length - 1;
            if (told >= 0) {
                return 0;
            }
            told = announced(value, (const char *)memchr(value, '\r', (size_t)(end - value)));
            if (told < 0) {
                return 0;
            }
        }
    }
    return told == size;
}

/* Receives an answer up to its body, and that, too, if there is room for it. */
static void receive_answer(struct exchange *x)
{
    struct moving *a = &x->answer, *b = &x->body;
    while (!x->answered && a->moved < a->size && !a->socket_error && !a->ended) {
        ssize_t got = recv(a->socket, a->memory + a->moved, (size_t)(a->size - a->moved), MSG_DONTWAIT);
        if (got < 0) {
            int nothing_yet = errno == EAGAIN || errno == EWOULDBLOCK;
            a->socket_error = nothing_yet ? wait_for(a, POLLIN) : errno;
            continue;
        }
        a->ended = got == 0;
        moves_on(a, got);
        int64_t end = end_of_head(a->memory, a->moved), come = a->moved - end;
        x->answered = end != 0;
        if (end > 0 && b->size > 0 && come <= b->size && brings(a->memory, end, b->size)) {
            memcpy(b->memory, a->memory + end, (size_t)come);
            b->moved = come;
            a->moved = end;
        } else if (x->answered) {
            b->size = 0;
        }
    }
    if (x->answered) {
        receive_body(b);
    }
}

/* Opens the file to be sent, if it is a regular one of the size that was said: 0, or an errno. A FIFO is not waited for. */
static int open_file(struct exchange *x)
{
    struct stat found;
    int file = open(x->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) {
        return errno;
    }
    int error = fstat(file, &found) != 0 ? errno : S_ISREG(found.st_mode) && found.st_size == x->file.size ? 0 : EINVAL;
    if (error) {
        close(file);
        return error;
    }
    x->file.file = file;
    return 0;
}

static void close_file(struct exchange *x)
{
    if (x->file.file >= 0) {
        close(x->file.file);
        x->file.file = -1;
    }
}

static void exchange_all(struct exchange *x)
{
    if (!x->refused) {
        if (x->file.moved < x->file.size && x->file.file < 0) {
            x->file.file_error = open_file(x);
            if (x->file.file_error) {
                return;
            }
        }
        send_memory(&x->request, x->file.size > 0 ? MSG_MORE : 0);
        int *error = &x->request.socket_error;
        if (!*error) {
#ifdef __linux__
            send_body(&x->file);
#else
            x->file.file_error = x->file.size > 0 ? ENOSYS : 0;
#endif
            error = &x->file.socket_error;
        }
        if (*error == EPIPE || *error == ECONNRESET) {
            *error = 0;
            x->refused = 1; /* who refuses a request before it is whole may have said why */
        }
        if (*error || x->file.file_error || x->file.ended) {
            return;
        }
        close_file(x);
    }
    receive_answer(x);
}

/* As `goes_on`, for whichever part of an exchange was interrupted. */
static int exchange_goes_on(struct exchange *x)
{
    struct moving *parts[] = {&x->request, &x->file, &x->answer, &x->body};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (goes_on(parts[i])) {
            return 1;
        }
    }
    return 0;
}

PyDoc_STRVAR(exchange_doc,
             "exchange(socket, request, path, file_bytes, answer, body, send_timeout_ms, receive_timeout_ms, /)\n--\n\n"
             "Send a request, then all `file_bytes` of the file at `path`, on a socket without TLS, a descriptor; and receive the answer. Without\n"
             "a file, `path` is empty. The answer is received into `answer` until its lines have come, up to the empty one. If they announce\n"
             "as many bytes as `body` has room for, of an object, those go there, all of them. What else came at once is in `answer`.\n\n"
             "Returns (sent bytes of the request, of the file, bytes in answer, bytes in body, refused, socket_error, file_error). The errors are\n"
             "errnos, or 0. `refused` is 1 if the other side did not take the whole request, and may have said why. A file that cannot be opened, or is no\n"
             "regular one of that size (EINVAL), is a file_error with nothing sent; one that cannot be sent so, with all of the request. Fewer bytes of\n"
             "the file without an error: it ended, and nothing was received. A wait of more than the timeout for a byte to go or come is ETIMEDOUT.");

static PyObject *exchange(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    struct exchange x = {0};
    Py_buffer request, answer, body;
    PyObject *path;
    int socket, send_timeout_ms, receive_timeout_ms;
    long long file_bytes;
    if (!PyArg_ParseTuple(arguments, "iy*O&Lw*w*ii:exchange", &socket, &request, PyUnicode_FSConverter, &path, &file_bytes, &answer,
                          &body, &send_timeout_ms, &receive_timeout_ms)) {
        return NULL;
    }
    x.path = PyBytes_AsString(path);
    x.request = (struct moving){.socket = socket, .memory = request.buf, .size = request.len, .timeout_ms = send_timeout_ms};
    x.file = (struct moving){.socket = socket, .file = -1, .size = file_bytes, .timeout_ms = send_timeout_ms};
    x.answer = (struct moving){.socket = socket, .memory = answer.buf, .size = answer.len, .timeout_ms = receive_timeout_ms};
    x.body = (struct moving){.socket = socket, .memory = body.buf, .size = body.len, .timeout_ms = receive_timeout_ms};
    do {
        Py_BEGIN_ALLOW_THREADS
        exchange_all(&x);
        Py_END_ALLOW_THREADS
    } while (exchange_goes_on(&x));
    close_file(&x);
    Py_DECREF(path);
    PyBuffer_Release(&request);
    PyBuffer_Release(&answer);
    PyBuffer_Release(&body);
    int socket_error = x.request.socket_error ? x.request.socket_error
                       : x.file.socket_error  ? x.file.socket_error
                       : x.answer.socket_error ? x.answer.socket_error
                                               : x.body.socket_error;
    return PyErr_Occurred() ? NULL
                            : Py_BuildValue("(LLLLiii)", (long long)x.request.moved, (long long)x.file.moved, (long long)x.answer.moved,
                                            (long long)x.body.moved, x.refused, socket_error, x.file.file_error);
}

PyDoc_STRVAR(quiet_doc,
             "quiet(socket, /)\n--\n\n"
             "Whether nothing has come on a socket, a descriptor: no byte, not its end, no error. Takes too little time to give the GIL away for it.");

static PyObject *quiet(PyObject *Py_UNUSED(module), PyObject *socket)
{
    long descriptor = PyLong_AsLong(socket);
    if (descriptor == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (descriptor < 0 || descriptor > INT_MAX) {
        PyErr_SetString(PyExc_ValueError, "that is no descriptor"); /* poll() would take it for one on which nothing comes */
        return NULL;
    }
    struct pollfd one = {.fd = (int)descriptor, .events = POLLIN};
    return PyBool_FromLong(poll(&one, 1, 0) == 0);
}

static PyMethodDef methods[] = {
    {"receive", receive, METH_VARARGS, receive_doc},
#ifdef __linux__
    {"send", send_, METH_VARARGS, send_doc},
#endif
    {"exchange", exchange, METH_VARARGS, exchange_doc},
    {"quiet", quiet, METH_O, quiet_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "callsheet._wire",
    .m_doc = "Requests, answers and bodies over plain sockets, without the GIL.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__wire(void)
{
    return PyModuleDef_Init(&definition);
}
