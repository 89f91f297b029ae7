//! What happens when a fiber runs out of stack: that fiber ends, the server goes on.
//!
//! The access past the end hits the stack's guard and raises SIGSEGV (on a signal stack of its
//! own). The handler sees that the address lies in the running fiber's guard and continues the
//! thread at the fiber's root, which then returns as if the fiber had ended. Frames on the
//! abandoned stack are not unwound: what they owned is leaked. Our own functions refuse to start
//! when little stack is left (`lua`'s border checks [`super::stack_remaining`]), so what overflows
//! is recursion inside LuaJIT's library.
//!
//! # Yields
//! never

use std::cell::Cell;

use corosensei::trap::CoroutineTrapHandler;

use super::stack::Stack;

/// The running fiber's stack and how to leave it.
struct Running {
    stack_start: usize,
    trap: CoroutineTrapHandler<()>,
}

thread_local! {
    static RUNNING: Cell<Option<Running>> = const { Cell::new(None) };
    static OVERFLOWED: Cell<bool> = const { Cell::new(false) };
}

/// Notes which stack runs from now on.
pub(super) fn enter(stack_start: usize, trap: CoroutineTrapHandler<()>) {
    RUNNING.set(Some(Running { stack_start, trap }));
}

/// The fiber stopped running; true: because it overflowed.
pub(super) fn leave() -> bool {
    RUNNING.set(None);
    OVERFLOWED.replace(false)
}

/// Size of the stack on which the signal handler runs.
const SIGNAL_STACK_SIZE: usize = 64 * 1024;

/// Installs the handler for this thread. The signal stack is never freed.
pub(super) fn install() -> std::io::Result<()> {
    let memory = Box::leak(vec![0u8; SIGNAL_STACK_SIZE].into_boxed_slice());
    let signal_stack = libc::stack_t {
        ss_sp: memory.as_mut_ptr().cast(),
        ss_flags: 0,
        ss_size: SIGNAL_STACK_SIZE,
    };
    // SAFETY: the memory is ours for ever, and `action` is filled before it is used.
    unsafe {
        if libc::sigaltstack(&raw const signal_stack, std::ptr::null_mut()) != 0 {
            return Err(std::io::Error::last_os_error());
        }
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_fault as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&raw mut action.sa_mask);
        for signal in [libc::SIGSEGV, libc::SIGBUS] {
            if libc::sigaction(signal, &raw const action, std::ptr::null_mut()) != 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
    }
    Ok(())
}

extern "C" fn on_fault(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes valid pointers to a handler installed with SA_SIGINFO.
    let (address, context) =
        unsafe { ((*info).si_addr() as usize, &mut *context.cast::<libc::ucontext_t>()) };
    let running = RUNNING.take();
    let running = running.filter(|running| Stack::guard_contains(running.stack_start, address));
    if let Some(running) = running {
        OVERFLOWED.set(true);
        // SAFETY: the fault is in this fiber's guard, so its coroutine is the one that runs.
        let registers = unsafe { running.trap.setup_trap_handler(|| ()) };
        restart_at(context, &registers);
        return;
    }
    // Not ours: die of it, as without a handler.
    // SAFETY: resetting a signal and returning repeats the faulting access.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
    }
}

#[cfg(target_arch = "x86_64")]
fn restart_at(context: &mut libc::ucontext_t, registers: &corosensei::trap::TrapHandlerRegs) {
    let general = &mut context.uc_mcontext.gregs;
    general[libc::REG_RIP as usize] = registers.rip as i64;
    general[libc::REG_RSP as usize] = registers.rsp as i64;
    general[libc::REG_RBP as usize] = registers.rbp as i64;
    general[libc::REG_RDI as usize] = registers.rdi as i64;
    general[libc::REG_RSI as usize] = registers.rsi as i64;
}

#[cfg(target_arch = "aarch64")]
fn restart_at(context: &mut libc::ucontext_t, registers: &corosensei::trap::TrapHandlerRegs) {
    let machine = &mut context.uc_mcontext;
    machine.pc = registers.pc;
    machine.sp = registers.sp;
    machine.regs[0] = registers.x0;
    machine.regs[1] = registers.x1;
    machine.regs[29] = registers.x29;
    machine.regs[30] = registers.lr;
}
