//! Whether this process may use AMX: the CPU has it, the operating system keeps its state, and gives this process leave.

use std::{
    arch::x86_64::{__cpuid, __cpuid_count, _xgetbv},
    sync::LazyLock,
};

/// Whether AMX for 8-bit integers may be used, by all threads of the process. The CPU has AVX-512.
///
/// Asks the operating system at the first call; what it has granted stays granted.
pub(super) fn may_be_used() -> bool {
    static ANSWER: LazyLock<bool> = LazyLock::new(|| cpu_has_it() && state_is_kept() && leave_is_given());
    *ANSWER
}

/// Tiles and their 8-bit products, and registers of the size that kernels count on: Intel's manual, volume 2, CPUID leaves
/// 07H and 1DH.
fn cpu_has_it() -> bool {
    const TILES_AND_INT8: u32 = 1 << 24 | 1 << 25;
    const TILE_PALETTES: u32 = 0x1d;
    if __cpuid(0).eax < TILE_PALETTES || __cpuid_count(7, 0).edx & TILES_AND_INT8 != TILES_AND_INT8 {
        return false;
    }
    let palette = __cpuid_count(TILE_PALETTES, 1);
    let (row_bytes, registers, rows) = (palette.ebx & 0xffff, palette.ebx >> 16, palette.ecx & 0xffff);
    row_bytes >= 64 && registers >= 8 && rows >= 16
}

/// Whether the operating system saves tile registers and their configuration when it switches threads.
fn state_is_kept() -> bool {
    const CONFIGURATION_AND_DATA: u64 = 1 << 17 | 1 << 18;
    // SAFETY: a CPU on which the operating system has enabled AVX-512 has the instruction, as the caller found.
    let kept = unsafe { _xgetbv(0) };
    kept & CONFIGURATION_AND_DATA == CONFIGURATION_AND_DATA
}

/// Asks Linux for leave: tile data is large, so a process that wants to have it says so first (Linux's
/// Documentation/arch/x86/xstate.rst). Later threads inherit the leave.
#[cfg(target_os = "linux")]
fn leave_is_given() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const TILE_DATA: i64 = 18;
    let answer: i64;
    // SAFETY: a system call that takes two numbers and changes no memory of ours.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => answer,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") TILE_DATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    answer == 0
}

/// Other systems are not asked.
#[cfg(not(target_os = "linux"))]
fn leave_is_given() -> bool {
    false
}
