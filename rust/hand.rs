// SPDX-License-Identifier: GPL-2.0

//! References held by hand: the first holder, for tests and for people who look around.
//!
//! `/sys/kernel/debug/ifref/hand` takes one command a write (CAP_NET_ADMIN):
//!
//! - `get WHAT [N [by HOLDER]]` takes N references (1 unless told), for the holder `hand` unless
//!   told, to the ifaddr with an id, ID or ID@SERIAL; or in the writer's namespace to the
//!   link-layer one of `dev:NAME` or `index:N`, or to an address, `ip:ADDRESS`,
//! - `follow ID` follows one of them; refused, it is dropped and the errno says why,
//! - `put ID [N]` drops N of them,
//! - `leak ID [N]` forgets N of them, as a faulty holder would,
//! - `enter ID` enters through one of them, and `leave ID` leaves,
//! - `park ID [N]` parks N packets with one of them, `send ID` sends one and `free ID [N]` frees N,
//! - `register HOLDER` and `unregister HOLDER` make and end another holder.
//!
//! Reading it follows each held ifaddr and shows what it leads to, or why it does not. Each
//! reference, use and packet pins the module. `next_serial` beside it moves the serials forward, for
//! tests.

use crate::{
    entered::Entered,
    ffi::{
        debugfs::{
            Control,
            Controls,
            Shared, //
        },
        inet::Address,
        module::{
            complain,
            net_admin,
            Loaded, //
        },
        net_namespace::Net,
        netdevice::NAME_SIZE,
        skbuff::Skb, //
    },
    holder::Registration,
    lookup::{
        IfaddrId,
        Key, //
    },
    packet::Packet,
    registry::{
        errno,
        Registry, //
    },
    stake::{
        IfaddrRef,
        Slot, //
    },
    text::Text, //
};
use core::net::IpAddr;
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

/// The bytes of a packet that is parked by hand: an Ethernet header and some payload of zeros.
const PACKET_SIZE: u32 = 64;

/// Something that is kept, of which there may be several for one ifaddr.
struct Kept<T> {
    id: u64,
    what: T,
    _loaded: Loaded,
}

impl<T> Kept<T> {
    fn new(id: u64, what: T) -> Result<Self> {
        Ok(Self {
            id,
            what,
            _loaded: Loaded::get()?,
        })
    }
}

/// All that is kept.
#[derive(Default)]
struct Store {
    references: KVVec<Kept<Slot>>,
    uses: KVVec<Kept<Entered>>,
    packets: KVVec<Kept<Packet>>,
    others: KVec<Registration>,
}

/// The holder: `hand`.
#[pin_data]
struct Hand {
    // What is kept before the registration: it leaves no ghost.
    #[pin]
    store: Mutex<Store>,
    registration: Registration,
    registry: Arc<Registry>,
}

/// `next_serial`.
struct NextSerial(Arc<Registry>);

/// Makes the folder in debugfs with the holder behind it. Sleeps.
pub(crate) fn controls(registry: &Arc<Registry>) -> Result<Controls> {
    let registration = Registration::new(registry, 0, "hand")?;
    let hand = Arc::pin_init(
        pin_init!(Hand {
            store <- new_mutex!(Store::default()),
            registration,
            registry: registry.clone(),
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

/// What is to be looked up.
enum What {
    Number(u64),
    Id(IfaddrId),
    Name(Text<NAME_SIZE>),
    Index(i32),
    Ip(Address),
}

impl What {
    fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None if text.contains('@') => text.parse().ok().map(Self::Id),
            None => text.parse().ok().map(Self::Number),
            Some(("dev", name)) if name.len() < NAME_SIZE => Some(Self::Name(Text::from(name))),
            Some(("index", index)) => index.parse().ok().map(Self::Index),
            Some(("ip", ip)) => Some(Self::Ip(match ip.parse().ok()? {
                IpAddr::V4(ip) => Address::inet(ip.octets()),
                IpAddr::V6(ip) => Address::inet6(ip.octets()),
            })),
            Some(_) => None,
        }
    }

    fn key<'k>(&'k self, net: &'k Net) -> Key<'k> {
        match self {
            Self::Number(id) => Key::Number(*id),
            Self::Id(id) => Key::Id(*id),
            Self::Name(name) => Key::Name(net, name.as_c_str()),
            Self::Index(index) => Key::Index(net, *index),
            Self::Ip(address) => Key::Address(net, address),
        }
    }
}

enum Command<'a> {
    Get(What, u64, Option<&'a str>),
    Follow(u64),
    Put(u64, u64),
    Leak(u64, u64),
    Enter(u64),
    Leave(u64),
    Park(u64, u64),
    Send(u64),
    Free(u64, u64),
    Register(&'a str),
    Unregister(&'a str),
}

impl<'a> Command<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let (verb, object) = (words.next()?, words.next()?);
        let count = match words.next() {
            Some(word) => Some(word.parse().ok().filter(|n| (1..=GET_MAX).contains(n))?),
            None => None,
        };
        let by = match (words.next(), words.next(), words.next()) {
            (None, ..) => None,
            (Some("by"), Some(holder), None) => Some(holder),
            _ => return None,
        };
        match (verb, count, by) {
            ("register", None, None) => return Some(Self::Register(object)),
            ("unregister", None, None) => return Some(Self::Unregister(object)),
            _ => {}
        }
        if verb == "get" {
            return Some(Self::Get(What::parse(object)?, count.unwrap_or(1), by));
        }
        let id = object.parse().ok()?;
        match (verb, count, by) {
            ("put", count, None) => Some(Self::Put(id, count.unwrap_or(1))),
            ("leak", count, None) => Some(Self::Leak(id, count.unwrap_or(1))),
            ("park", count, None) => Some(Self::Park(id, count.unwrap_or(1))),
            ("free", count, None) => Some(Self::Free(id, count.unwrap_or(1))),
            ("follow", None, None) => Some(Self::Follow(id)),
            ("enter", None, None) => Some(Self::Enter(id)),
            ("leave", None, None) => Some(Self::Leave(id)),
            ("send", None, None) => Some(Self::Send(id)),
            _ => None,
        }
    }
}

impl Control for Hand {
    fn show(&self, to: &SeqFile) {
        let store = self.store.lock();
        let kept = &store.references;
        let mut at = 0;
        // They are sorted by id: one line for all references to an ifaddr.
        while let Some(one) = kept.get(at) {
            let held = kept.iter().skip(at).take_while(|k| k.id == one.id).count();
            at += held;
            let Some(reference) = one.what.reference() else {
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
            Some(Command::Get(what, count, by)) => self.get(&what, count, by),
            Some(Command::Follow(id)) => self.follow(id),
            Some(Command::Put(id, count)) => self.put(id, count, false),
            Some(Command::Leak(id, count)) => self.put(id, count, true),
            Some(Command::Enter(id)) => self.enter(id),
            Some(Command::Leave(id)) => take(&mut self.store.lock().uses, id, 1).map(drop),
            Some(Command::Park(id, count)) => self.park(id, count),
            Some(Command::Send(id)) => self.send(id),
            Some(Command::Free(id, count)) => {
                take(&mut self.store.lock().packets, id, count).map(drop)
            }
            Some(Command::Register(name)) => self.register(name),
            Some(Command::Unregister(name)) => self.unregister(name),
            None => {
                complain(
                    c"hand: a command is one of those in Documentation/ABI/testing/debugfs-ifref",
                );
                Err(EINVAL)
            }
        }
    }
}

/// Takes `count` things for the ifaddr `id` out of `all`: ENOENT if there are fewer, ENOMEM.
fn take<T>(all: &mut KVVec<Kept<T>>, id: u64, count: u64) -> Result<KVVec<Kept<T>>> {
    let count = count as usize;
    if all.iter().filter(|one| one.id == id).count() < count {
        return Err(ENOENT);
    }
    let mut taken = KVVec::with_capacity(count, GFP_KERNEL)?;
    let mut rest = KVVec::with_capacity(all.len(), GFP_KERNEL)?;
    for one in core::mem::take(all) {
        if one.id == id && taken.len() < count {
            taken.push(one, GFP_KERNEL)?;
        } else {
            rest.push(one, GFP_KERNEL)?;
        }
    }
    *all = rest;
    Ok(taken)
}

/// Puts what was taken to the rest, sorted by id: ENOMEM changes nothing.
fn keep<T>(all: &mut KVVec<Kept<T>>, new: KVVec<Kept<T>>) -> Result {
    let mut both = KVVec::with_capacity(all.len() + new.len(), GFP_KERNEL)?;
    let mut new = new.into_iter().peekable();
    for one in core::mem::take(all) {
        while let Some(before) = new.next_if(|new| new.id < one.id) {
            both.push(before, GFP_KERNEL)?;
        }
        both.push(one, GFP_KERNEL)?;
    }
    for one in new {
        both.push(one, GFP_KERNEL)?;
    }
    *all = both;
    Ok(())
}

impl Store {
    /// One of the references to an ifaddr: ENOENT.
    fn reference(&self, id: u64) -> Result<&IfaddrRef> {
        let kept = self.references.iter().find(|one| one.id == id);
        kept.and_then(|one| one.what.reference()).ok_or(ENOENT)
    }
}

impl Hand {
    fn get(&self, what: &What, count: u64, by: Option<&str>) -> Result {
        let net = Net::current();
        let mut store = self.store.lock();
        let registration = match by {
            None => &self.registration,
            Some(name) => {
                let mut others = store.others.iter();
                let named = |other: &&Registration| other.holder().name().as_str() == name;
                others.find(named).ok_or(ENOENT)?
            }
        };
        let mut taken = KVVec::with_capacity(count as usize, GFP_KERNEL)?;
        for _ in 0..count {
            let reference = registration.get(what.key(&net), GFP_KERNEL)?;
            let id = reference.ifaddr().id();
            taken.push(Kept::new(id, Slot::new(reference))?, GFP_KERNEL)?;
        }
        keep(&mut store.references, taken)
    }

    fn follow(&self, id: u64) -> Result {
        let mut store = self.store.lock();
        let kept = &mut store.references;
        let at = kept.iter().position(|one| one.id == id).ok_or(ENOENT)?;
        let one = kept.get_mut(at).ok_or(ENOENT)?;
        let followed = one.what.follow(&rcu::read_lock()).map(drop);
        if followed.is_err() {
            drop(kept.remove(at));
        }
        followed.map_err(errno)
    }

    fn put(&self, id: u64, count: u64, leak: bool) -> Result {
        for mut one in take(&mut self.store.lock().references, id, count)? {
            if leak {
                core::mem::forget(one.what.take());
            }
        }
        Ok(())
    }

    fn enter(&self, id: u64) -> Result {
        let mut store = self.store.lock();
        let entered = store.reference(id)?.enter()?;
        let one = Kept::new(id, entered)?;
        Ok(store.uses.push(one, GFP_KERNEL)?)
    }

    fn park(&self, id: u64, count: u64) -> Result {
        let mut store = self.store.lock();
        let mut parked = KVVec::with_capacity(count as usize, GFP_KERNEL)?;
        let reference = store.reference(id)?.clone();
        let first = Packet::park(Skb::new(PACKET_SIZE, GFP_KERNEL)?, reference);
        for _ in 1..count {
            let packet = first.try_clone(GFP_KERNEL)?;
            parked.push(Kept::new(id, packet)?, GFP_KERNEL)?;
        }
        parked.push(Kept::new(id, first)?, GFP_KERNEL)?;
        keep(&mut store.packets, parked)
    }

    fn send(&self, id: u64) -> Result {
        for one in take(&mut self.store.lock().packets, id, 1)? {
            one.what.transmit()?;
        }
        Ok(())
    }

    fn register(&self, name: &str) -> Result {
        let mut store = self.store.lock();
        let other = Registration::new(&self.registry, 0, name)?;
        Ok(store.others.push(other, GFP_KERNEL)?)
    }

    fn unregister(&self, name: &str) -> Result {
        let mut store = self.store.lock();
        let named = |other: &Registration| other.holder().name().as_str() == name;
        let at = store.others.iter().position(named).ok_or(ENOENT)?;
        drop(store.others.remove(at));
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
    let line = buf.get_mut(..len).ok_or(E2BIG)?;
    reader.read_slice(line)?;
    core::str::from_utf8(line).map_err(|_| {
        complain(c"debugfs: the command is not text");
        EINVAL
    })
}

#[kunit_tests(ifref_hand)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        let parse = Command::parse;
        assert!(matches!(
            parse("get 7"),
            Some(Command::Get(What::Number(7), 1, None))
        ));
        assert!(matches!(
            parse(" get  7 3\n"),
            Some(Command::Get(What::Number(7), 3, None))
        ));
        assert!(matches!(
            parse("get dev:lo 3 by tap"),
            Some(Command::Get(What::Name(_), 3, Some("tap")))
        ));
        assert!(matches!(
            parse("get ip:10.0.0.1"),
            Some(Command::Get(What::Ip(_), 1, None))
        ));
        assert!(matches!(
            parse("get 7@3"),
            Some(Command::Get(What::Id(_), 1, None))
        ));
        assert!(matches!(
            parse("put 1 100000"),
            Some(Command::Put(1, 100_000))
        ));
        assert!(matches!(parse("follow 9"), Some(Command::Follow(9))));
        assert!(matches!(
            parse("register tap"),
            Some(Command::Register("tap"))
        ));
    }

    #[test]
    fn nonsense() {
        for text in [
            "",
            " ",
            "get",
            "get x",
            "get -1",
            "get 1 0",
            "get 1 100001",
            "put 1 1 1",
            "follow 1 1",
            "GET 1",
            "get 18446744073709551616",
            "get 1;put 1",
            "get dev:a-name-of-sixteen",
            "get ip:10.0.0",
            "get bus:1",
            "get 1 1 by",
            "follow 1 1 by tap",
        ] {
            assert!(Command::parse(text).is_none());
        }
    }
}
