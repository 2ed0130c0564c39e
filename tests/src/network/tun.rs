//! The end of a network device that a program holds: IP packets in and out.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;

use rustix::fs::OFlags;
use rustix::ioctl::{self, Updater};

/// `IFF_TUN | IFF_NO_PI` of `linux/if_tun.h`: whole IP packets, with nothing in front.
const TUN_WITHOUT_PREFIX: u16 = 0x0001 | 0x1000;

/// `_IOW('T', 202, int)` of `linux/if_tun.h`.
const TUNSETIFF: ioctl::Opcode = ioctl::opcode::write::<i32>(b'T', 202);

/// `struct ifreq` of `linux/if.h` on 64 bits: the name, and a union of which the flags are one arm.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

/// Makes the device `name` in the network namespace of the calling thread. It goes away with the
/// file, which does not block.
pub(super) fn open(name: &str) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open("/dev/net/tun")?;
    let mut request = InterfaceRequest {
        name: [0; 16],
        flags: TUN_WITHOUT_PREFIX,
        rest: [0; 22],
    };
    // The last byte stays zero: it ends the name.
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: the kernel reads and writes one `struct ifreq` for this request, which `request` is
    // as large as and outlives the call.
    #[allow(unsafe_code)]
    unsafe {
        ioctl::ioctl(&file, Updater::<TUNSETIFF, _>::new(&mut request))?;
    }
    Ok(file)
}
