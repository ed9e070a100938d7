"""What compiled code can say to the OpenMP runtime and to the processor: a few lines of LLVM each.

:func:`run_region` is what a C compiler makes of ``#pragma omp parallel``: the body becomes a function of its own, the
variables it needs go into a struct, and ``GOMP_parallel`` calls the function on every thread.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.core.itanium_mangler import mangle_args
from numba.extending import intrinsic

from labkit.openmp.shared import ERROR_CODE, ERROR_INFO, ERROR_THREAD, FAILED, GOING_ON, STOP

INT32, INT64, BYTES = ir.IntType(32), ir.IntType(64), ir.IntType(8).as_pointer()
BODY, COPY = ir.FunctionType(ir.VoidType(), [BYTES]), ir.FunctionType(ir.VoidType(), [BYTES, BYTES])
DEPEND = 8  # GOMP_TASK_FLAG_DEPEND


def _external(builder, result, name, arguments):
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, arguments), name)


def _place(builder, data, index):
    """The address of ``data[index]``."""
    return builder.gep(data, [index if isinstance(index, ir.Value) else INT64(index)])


def _callee(context, builder, dispatcher, argument_types):
    """A function that emits a call: (builder, arguments) -> status."""
    suffix = mangle_args(argument_types)
    own = builder.function
    if dispatcher.is_compiling and own.name.endswith(suffix):  # a task that makes tasks of its own kind

        def call_itself(builder, arguments):
            return context.call_conv.call_function(builder, own, types.none, argument_types, arguments)[0]

        return call_itself
    if not dispatcher._can_compile and argument_types not in dispatcher.overloads:
        raise TypingError(f"{dispatcher.__name__} was compiled for other types than {argument_types}")
    dispatcher.compile(argument_types)
    compiled = dispatcher.overloads[argument_types]
    context.add_linking_libs((compiled.library,))

    def call(builder, arguments):
        return context.call_internal_no_propagate(builder, compiled.fndesc, compiled.signature, arguments)[0]

    return call


def _note_failure(builder, status, block):
    """The first thread that raises leaves what it raised in the shared block, and all are told to stop."""
    with builder.if_then(status.is_error, likely=False):
        flag = _place(builder, block, STOP)
        swapped = builder.cmpxchg(flag, INT64(GOING_ON), INT64(FAILED), "seq_cst")
        with builder.if_then(builder.extract_value(swapped, 1)):
            builder.store(builder.sext(status.code, INT64), _place(builder, block, ERROR_CODE))
            builder.store(builder.ptrtoint(status.excinfoptr, INT64), _place(builder, block, ERROR_INFO))
            number = builder.call(_external(builder, INT32, "omp_get_thread_num", []), [])
            builder.store(builder.sext(number, INT64), _place(builder, block, ERROR_THREAD))


def _outlined(context, builder, name, data_type, emit):
    """A function of C's kind, ``void name(void *data)``, whose body is emitted by ``emit(builder, data)``."""
    function = ir.Function(builder.module, BODY, builder.module.get_unique_name(name))
    function.linkage = "internal"
    body = ir.IRBuilder(function.append_basic_block("entry"))
    emit(body, body.bitcast(function.args[0], data_type.as_pointer()))
    body.ret_void()
    return function


def _refuse_lists(kind) -> None:
    """Numba would copy Python's lists and sets there and back, and threads cannot share them."""
    if isinstance(kind, types.List | types.Set):
        raise TypingError("kernels take arrays, not lists and sets")
    for part in kind if isinstance(kind, types.BaseTuple) else ():
        _refuse_lists(part)


@intrinsic(prefer_literal=False)
def run_region(typing, body, num_threads, shared, arguments):
    """``body(*arguments)`` on every thread of a team; the first exception is raised here again."""
    if not isinstance(body, types.Dispatcher):
        raise TypingError("the body of a region is a compiled function")
    argument_types = tuple(arguments)
    _refuse_lists(arguments)

    def codegen(context, builder, signature, values):
        call = _callee(context, builder, body.dispatcher, argument_types)
        tuple_type = context.get_value_type(arguments)
        block = context.make_array(shared)(context, builder, values[2]).data
        data_type = ir.LiteralStructType([tuple_type, BYTES])

        def emit(b, data):
            packed = b.load(cgutils.gep_inbounds(b, data, 0, 0))
            status = call(b, [b.extract_value(packed, i) for i in range(len(argument_types))])
            _note_failure(b, status, b.bitcast(b.load(cgutils.gep_inbounds(b, data, 0, 1)), INT64.as_pointer()))

        function = _outlined(context, builder, "omp_region", data_type, emit)
        data = cgutils.alloca_once(builder, data_type)
        builder.store(values[3], cgutils.gep_inbounds(builder, data, 0, 0))
        builder.store(builder.bitcast(block, BYTES), cgutils.gep_inbounds(builder, data, 0, 1))
        parallel = _external(builder, ir.VoidType(), "GOMP_parallel", [BODY.as_pointer(), BYTES, INT32, INT32])
        builder.call(parallel, [function, builder.bitcast(data, BYTES), builder.trunc(values[1], INT32), INT32(0)])
        failed = builder.icmp_signed("==", builder.load(_place(builder, block, STOP)), INT64(FAILED))
        with builder.if_then(failed, likely=False):
            _raise_again(context, builder, block)
        return context.get_dummy_value()

    return types.void(body, types.int64, shared, arguments), codegen


def _raise_again(context, builder, block):
    conventions = context.call_conv
    place = conventions._get_excinfo_argument(builder.function)
    info = builder.load(_place(builder, block, ERROR_INFO))
    builder.store(builder.inttoptr(info, place.type.pointee), place)
    conventions._return_errcode_raw(builder, builder.trunc(builder.load(_place(builder, block, ERROR_CODE)), INT32))


@intrinsic(prefer_literal=False)
def task(typing, team, function, arguments):
    """``#pragma omp task``: ``function(*arguments)`` is run by some thread of the team, now or later.

    ``function`` is a compiled function that returns nothing; it may be the one that is being compiled. Its arguments
    are captured by value (arrays by reference, and kept alive). A task that has not begun when another thread raises is
    left out.
    """
    return _make_task(team, function, arguments, None)


@intrinsic(prefer_literal=False)
def task_depend(typing, team, function, arguments, tokens, out, in_):
    """``#pragma omp task depend(out: ...) depend(in: ...)``.

    ``tokens`` is an int64 array, ``out`` and ``in_`` are tuples of numbers in it that stand for what the task writes
    and reads: it runs after the tasks made before that write what it reads, and that write or read what it writes.
    """
    return _make_task(team, function, arguments, (tokens, out, in_))


def _make_task(team, function, arguments, depend):
    kind = function.dispatcher_type if isinstance(function, types.RecursiveCall) else function
    if not isinstance(kind, types.Dispatcher):
        raise TypingError("task: the second argument is a compiled function (numba.njit)")
    if not isinstance(arguments, types.BaseTuple):
        raise TypingError("task: the third argument is a tuple of the function's arguments")
    argument_types = tuple(arguments)

    def codegen(context, builder, signature, values):
        call = _callee(context, builder, kind.dispatcher, argument_types)
        block = context.make_array(team)(context, builder, values[0]).data
        data_type = ir.LiteralStructType([context.get_value_type(arguments), BYTES])

        def emit(b, data):
            packed = b.load(cgutils.gep_inbounds(b, data, 0, 0))
            its_block = b.bitcast(b.load(cgutils.gep_inbounds(b, data, 0, 1)), INT64.as_pointer())
            going_on = b.icmp_signed("==", b.load_atomic(_place(b, its_block, STOP), "monotonic", 8), INT64(GOING_ON))
            with b.if_then(going_on, likely=True):
                status = call(b, [b.extract_value(packed, i) for i in range(len(argument_types))])
                _note_failure(b, status, its_block)
            context.nrt.decref(b, arguments, packed)

        body = _outlined(context, builder, "omp_task", data_type, emit)
        # Arrays of a task live until it has run. They are counted in a function that only the runtime calls: Numba
        # takes this count and the maker's own last one, in one function, for a pair that can be left out.
        capture = ir.Function(builder.module, COPY, builder.module.get_unique_name("omp_capture"))
        capture.linkage = "internal"
        inside = ir.IRBuilder(capture.append_basic_block("entry"))
        target, source = (inside.bitcast(place, data_type.as_pointer()) for place in capture.args)
        whole = inside.load(source)
        context.nrt.incref(inside, arguments, inside.extract_value(whole, 0))
        inside.store(whole, target)
        inside.ret_void()
        data = cgutils.alloca_once(builder, data_type)
        builder.store(values[2], cgutils.gep_inbounds(builder, data, 0, 0))
        builder.store(builder.bitcast(block, BYTES), cgutils.gep_inbounds(builder, data, 0, 1))
        flags, addresses = INT32(0), ir.Constant(BYTES.as_pointer(), None)
        if depend is not None:
            flags = INT32(DEPEND)
            addresses = _dependences(context, builder, depend, values[3:])
        gomp_task = _external(
            builder, ir.VoidType(), "GOMP_task",
            [BODY.as_pointer(), BYTES, COPY.as_pointer(), INT64, INT64, INT32, INT32, BYTES.as_pointer(), INT32, BYTES],
        )
        size = context.get_abi_sizeof(data_type)
        builder.call(
            gomp_task,
            [body, builder.bitcast(data, BYTES), capture, INT64(size), INT64(16), INT32(1),
             flags, addresses, INT32(0), ir.Constant(BYTES, None)],
        )
        return context.get_dummy_value()

    extra = () if depend is None else depend
    return types.void(team, function, arguments, *extra), codegen


def _dependences(context, builder, depend, values):
    """libgomp's list: how many there are, how many of them are written, their addresses."""
    tokens, out, in_ = depend
    base = context.make_array(tokens)(context, builder, values[0]).data
    numbers = [
        (value_type, builder.extract_value(packed, i))
        for packed, kinds in ((values[1], out), (values[2], in_)) for i, value_type in enumerate(kinds)
    ]
    room = cgutils.alloca_once(builder, BYTES, size=INT64(len(numbers) + 2))
    heads = [builder.inttoptr(INT64(n), BYTES) for n in (len(numbers), len(out))]
    places = [
        builder.bitcast(_place(builder, base, context.cast(builder, value, kind, types.int64)), BYTES)
        for kind, value in numbers
    ]
    for k, address in enumerate(heads + places):
        builder.store(address, builder.gep(room, [INT64(k)]))
    return room


def _asks(name):
    """An intrinsic that calls a function of the runtime without arguments, for an int."""

    def asked(typing):
        def codegen(context, builder, signature, values):
            return builder.sext(builder.call(_external(builder, INT32, name, []), []), INT64)

        return types.int64(), codegen

    asked.__name__ = name
    return intrinsic(asked)


thread_num = _asks("omp_get_thread_num")
num_threads = _asks("omp_get_num_threads")


@intrinsic
def wtime(typing):
    """The time in s of a clock that never goes back, the same for all threads."""

    def codegen(context, builder, signature, values):
        return builder.call(_external(builder, ir.DoubleType(), "omp_get_wtime", []), [])

    return types.float64(), codegen


@intrinsic
def taskwait(typing):
    """``#pragma omp taskwait``: go on when all tasks made by this one have ended; meanwhile run some."""

    def codegen(context, builder, signature, values):
        builder.call(_external(builder, ir.VoidType(), "GOMP_taskwait", []), [])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def yield_core(typing):
    """Let another thread have this core."""

    def codegen(context, builder, signature, values):
        builder.call(_external(builder, INT32, "sched_yield", []), [])
        return context.get_dummy_value()

    return types.void(), codegen


def _element(context, builder, kind, value, index):
    return _place(builder, context.make_array(kind)(context, builder, value).data, index)


def _check_array(name, array):
    if not isinstance(array, types.Array) or array.ndim != 1 or array.layout != "C" or not array.mutable:
        raise TypingError(f"{name}: the first argument is a contiguous array of one dimension that can be written")
    if not isinstance(array.dtype, types.Integer | types.Float):
        raise TypingError(f"{name}: elements are whole or real numbers, not {array.dtype}")


@intrinsic
def fetch_add(typing, array, index, value):
    """``old = array[index]; array[index] += value`` in one step that no other thread sees half done; returns old."""
    _check_array("fetch_add", array)
    operation = "fadd" if isinstance(array.dtype, types.Float) else "add"

    def codegen(context, builder, signature, values):
        return builder.atomic_rmw(operation, _element(context, builder, array, *values[:2]), values[2], "seq_cst")

    return array.dtype(array, types.int64, array.dtype), codegen


@intrinsic
def compare_and_swap(typing, array, index, expected, value):
    """``array[index] = value`` if it is ``expected``, in one step; whether it was."""
    _check_array("compare_and_swap", array)
    if not isinstance(array.dtype, types.Integer):
        raise TypingError("compare_and_swap: elements are whole numbers")

    def codegen(context, builder, signature, values):
        place = _element(context, builder, array, *values[:2])
        return builder.extract_value(builder.cmpxchg(place, values[2], values[3], "seq_cst", "seq_cst"), 1)

    return types.boolean(array, types.int64, array.dtype, array.dtype), codegen


@intrinsic
def load(typing, array, index):
    """``array[index]`` as it is now: the compiler does not keep an older value."""
    _check_array("load", array)
    size = array.dtype.bitwidth // 8

    def codegen(context, builder, signature, values):
        return builder.load_atomic(_element(context, builder, array, *values), "acquire", size)

    return array.dtype(array, types.int64), codegen


@intrinsic
def store(typing, array, index, value):
    """``array[index] = value`` now, and after everything this thread has written before."""
    _check_array("store", array)
    size = array.dtype.bitwidth // 8

    def codegen(context, builder, signature, values):
        builder.store_atomic(values[2], _element(context, builder, array, *values[:2]), "release", size)
        return context.get_dummy_value()

    return types.void(array, types.int64, array.dtype), codegen


system_thread_id = _asks("gettid")  # as Linux numbers threads
