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
    ffi::{
        debugfs::{
            Control,
            Controls,
            Shared, //
        },
        module::{
            complain,
            net_admin,
            Loaded, //
        },
    },
    holder::Registration,
    lookup::Key,
    registry::{
        errno,
        Registry, //
    },
    stake::Slot, //
};
use kernel::{
    new_mutex,
    prelude::*,
    seq_file::{
        seq_print,
        SeqFile, //
    },
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

/// The holder: `hand`.
#[pin_data]
struct Hand {
    // The references before the registration: they leave no ghost.
    #[pin]
    kept: Mutex<KVVec<Kept>>,
    registration: Registration,
}

/// `next_serial`.
struct NextSerial(Arc<Registry>);

/// Makes the folder in debugfs with the holder behind it. Sleeps.
pub fn controls(registry: &Arc<Registry>) -> Result<Controls> {
    let registration = Registration::new(registry, "hand")?;
    let hand = Arc::pin_init(
        pin_init!(Hand {
            kept <- new_mutex!(KVVec::new()),
            registration,
        }),
        GFP_KERNEL,
    )?;
    let next_serial = Arc::new(NextSerial(registry.clone()), GFP_KERNEL)?;
    Controls::new(
        c"ifref",
        [
            (c"hand", hand as Shared),
            (c"next_serial", next_serial as Shared),
        ],
    )
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

impl Control for Hand {
    fn show(&self, to: &SeqFile) {
        let kept = self.kept.lock();
        let mut at = 0;
        while at < kept.len() {
            // They are sorted by id: one line for all references to an ifaddr.
            let one = &kept[at];
            let held = kept[at..].iter().take_while(|k| k.id == one.id).count();
            at += held;
            let Some(reference) = one.slot.reference() else {
                continue;
            };
            seq_print!(to, "id={} held={} ", one.id, held);
            let section = rcu::read_lock();
            match reference.try_follow(&section) {
                Ok(live) => {
                    let stats = live.stats();
                    seq_print!(
                        to,
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
                    );
                }
                Err(reason) => seq_print!(to, "invalid={}\n", reason.name()),
            }
        }
    }

    fn store(&self, from: &mut UserSliceReader) -> Result {
        let mut buf = [0; COMMAND_SIZE];
        match Command::parse(read_line(from, &mut buf)?) {
            Some(Command::Get(id, count)) => self.get(id, count),
            Some(Command::Follow(id)) => self.follow(id),
            Some(Command::Put(id, count)) => self.put(id, count),
            None => {
                complain(c"hand: a command is 'get ID [N]', 'follow ID' or 'put ID [N]'");
                Err(EINVAL)
            }
        }
    }
}

impl Hand {
    fn get(&self, id: u64, count: u64) -> Result {
        let mut taken = KVVec::with_capacity(count as usize, GFP_KERNEL)?;
        for _ in 0..count {
            let one = Kept {
                id,
                slot: Slot::new(self.registration.get(Key::Number(id), GFP_KERNEL)?),
                _loaded: Loaded::get()?,
            };
            taken.push(one, GFP_KERNEL)?;
        }
        let mut kept = self.kept.lock();
        let mut all = KVVec::with_capacity(kept.len() + taken.len(), GFP_KERNEL)?;
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
}

impl Control for NextSerial {
    fn show(&self, to: &SeqFile) {
        seq_print!(to, "{}\n", self.0.next_serial());
    }

    fn store(&self, from: &mut UserSliceReader) -> Result {
        let mut buf = [0; COMMAND_SIZE];
        let next = read_line(from, &mut buf)?.trim().parse().map_err(|_| {
            complain(c"next_serial: not a number");
            EINVAL
        })?;
        self.0.set_next_serial(next).inspect_err(|_| {
            complain(c"next_serial: serials only grow, and stay below 2^63");
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
    if len == 0 {
        complain(c"debugfs: the command is empty");
        return Err(EINVAL);
    }
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
