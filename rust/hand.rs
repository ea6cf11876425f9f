// SPDX-License-Identifier: GPL-2.0

//! References held by hand: the first holder, for tests and for people who look around.
//!
//! `/sys/kernel/debug/ifref/hand` takes one command a write (CAP_NET_ADMIN):
//!
//! - `get ID [N]` takes N references (1 unless told) to the ifaddr with that id,
//! - `follow ID` follows one of them; refused, it is dropped and the errno says why,
//! - `put ID [N]` drops N of them.
//!
//! Reading it follows each held ifaddr and shows what it leads to, or why it does not. Each
//! reference pins the module. `next_serial` beside it moves the serials forward, for tests.

use crate::{
    ffi::module::{
        complain,
        net_admin,
        Loaded, //
    },
    ifaddr::Slot,
    registry::{
        errno,
        Registry, //
    },
};
use kernel::{
    debugfs::{
        Scope, //
    },
    fmt,
    new_mutex,
    prelude::*,
    sync::{
        rcu,
        Arc,
        Mutex, //
    },
    uaccess::UserSliceReader, //
};

/// The longest command.
const COMMAND_SIZE: usize = 64;

/// The most references that one `get` takes.
const GET_MAX: u64 = 100_000;

struct Kept {
    id: u64,
    slot: Slot,
    _loaded: Loaded,
}

/// The holder.
#[pin_data]
pub struct Hand {
    registry: Arc<Registry>,
    #[pin]
    kept: Mutex<KVec<Kept>>,
}

enum Command {
    Get(u64, u64),
    Follow(u64),
    Put(u64, u64),
}

impl Command {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let verb = words.next()?;
        let id = words.next()?.parse().ok()?;
        let count = match words.next() {
            Some(word) => Some(word.parse().ok().filter(|n| (1..=GET_MAX).contains(n))?),
            None => None,
        };
        if words.next().is_some() {
            return None;
        }
        match (verb, count) {
            ("get", count) => Some(Self::Get(id, count.unwrap_or(1))),
            ("put", count) => Some(Self::Put(id, count.unwrap_or(1))),
            ("follow", None) => Some(Self::Follow(id)),
            _ => None,
        }
    }
}

impl Hand {
    /// Makes the folder in debugfs and the holder behind it.
    pub fn new(registry: Arc<Registry>) -> impl PinInit<Scope<Self>, Error> {
        Scope::dir(
            try_pin_init!(Self {
                registry,
                kept <- new_mutex!(KVec::new()),
            }? Error),
            c"ifref",
            |hand, dir| {
                dir.read_write_callback_file(c"hand", hand, &Self::show, &Self::command);
                dir.read_write_callback_file(
                    c"next_serial",
                    hand,
                    &Self::show_serial,
                    &Self::set_serial,
                );
            },
        )
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.kept.lock();
        let mut last = None;
        for (at, one) in kept.iter().enumerate() {
            // They are sorted by id: one line for all references to an ifaddr.
            if last == Some(one.id) {
                continue;
            }
            last = Some(one.id);
            let Some(reference) = one.slot.reference() else {
                continue;
            };
            let held = kept[at..].iter().take_while(|k| k.id == one.id).count();
            let section = rcu::read_lock();
            f.write_fmt(fmt!("id={} held={} ", one.id, held))?;
            match reference.try_follow(&section) {
                Ok(live) => {
                    let stats = live.stats();
                    f.write_fmt(fmt!(
                        "serial={} name={} ifindex={} mtu={} flags={:#x} rx_packets={} \
                         tx_packets={} rx_bytes={} tx_bytes={}\n",
                        live.serial(),
                        live.name().as_str(),
                        live.ifindex(),
                        live.mtu(),
                        live.flags(),
                        stats.rx_packets,
                        stats.tx_packets,
                        stats.rx_bytes,
                        stats.tx_bytes
                    ))?;
                }
                Err(reason) => f.write_fmt(fmt!("invalid={}\n", reason.name()))?,
            }
        }
        Ok(())
    }

    fn command(&self, reader: &mut UserSliceReader) -> Result {
        let mut buf = [0; COMMAND_SIZE];
        let text = read_line(reader, &mut buf)?;
        match Command::parse(text) {
            Some(Command::Get(id, count)) => self.get(id, count),
            Some(Command::Follow(id)) => self.follow(id),
            Some(Command::Put(id, count)) => self.put(id, count),
            None => {
                complain(c"hand: a command is 'get ID [N]', 'follow ID' or 'put ID [N]'");
                Err(EINVAL)
            }
        }
    }

    fn get(&self, id: u64, count: u64) -> Result {
        let mut taken = KVec::with_capacity(count as usize, GFP_KERNEL)?;
        for _ in 0..count {
            let one = Kept {
                id,
                slot: Slot::new(self.registry.reference(id)?),
                _loaded: Loaded::get()?,
            };
            taken.push(one, GFP_KERNEL)?;
        }
        let mut kept = self.kept.lock();
        let mut all = KVec::with_capacity(kept.len() + taken.len(), GFP_KERNEL)?;
        let mut taken = Some(taken);
        for one in core::mem::take(&mut *kept) {
            if one.id > id {
                for new in taken.take().into_iter().flatten() {
                    all.push(new, GFP_KERNEL)?;
                }
            }
            all.push(one, GFP_KERNEL)?;
        }
        for new in taken.take().into_iter().flatten() {
            all.push(new, GFP_KERNEL)?;
        }
        *kept = all;
        Ok(())
    }

    fn follow(&self, id: u64) -> Result {
        let mut kept = self.kept.lock();
        let at = kept.iter().position(|one| one.id == id).ok_or(ENOENT)?;
        let followed = kept[at].slot.follow(&rcu::read_lock()).map(drop);
        if followed.is_err() {
            drop(kept.remove(at));
        }
        followed.map_err(errno)
    }

    fn put(&self, id: u64, count: u64) -> Result {
        let mut kept = self.kept.lock();
        let held = kept.iter().filter(|one| one.id == id).count() as u64;
        if held < count {
            return Err(ENOENT);
        }
        let mut left = count;
        kept.retain(|one| {
            let drop = one.id == id && left > 0;
            left -= u64::from(drop);
            !drop
        });
        Ok(())
    }

    fn show_serial(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_fmt(fmt!("{}\n", self.registry.next_serial()))
    }

    fn set_serial(&self, reader: &mut UserSliceReader) -> Result {
        let mut buf = [0; COMMAND_SIZE];
        let text = read_line(reader, &mut buf)?;
        let next = text.trim().parse().map_err(|_| {
            complain(c"next_serial: not a number");
            EINVAL
        })?;
        self.registry.set_next_serial(next).inspect_err(|_| {
            complain(c"next_serial: serials only grow");
        })
    }
}

/// Reads a short line of text from somebody who may give commands.
fn read_line<'b>(reader: &mut UserSliceReader, buf: &'b mut [u8; COMMAND_SIZE]) -> Result<&'b str> {
    if !net_admin() {
        complain(c"debugfs: CAP_NET_ADMIN is needed");
        return Err(EPERM);
    }
    let len = reader.len();
    if len > buf.len() {
        complain(c"debugfs: the command is too long");
        return Err(E2BIG);
    }
    reader.read_slice(&mut buf[..len])?;
    core::str::from_utf8(&buf[..len]).map_err(|_| {
        complain(c"debugfs: the command is not text");
        EINVAL
    })
}
