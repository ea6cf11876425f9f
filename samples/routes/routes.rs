// SPDX-License-Identifier: GPL-2.0

//! routes: a reference for each route.
//!
//! It keeps the IPv4 routes of the main table, each with a reference to the address that it leads
//! out by, as BSD's `rt_ifa` did. An address written to `/sys/kernel/debug/ifref_routes/look_up` is
//! looked up, and reading it tells the answer.
//!
//! When an interface goes nobody searches for the routes through it: each finds out when it is used.
//! Policy for a refused follow: forget this route, and try the next best one.

use core::{fmt, net::Ipv4Addr, str::from_utf8};
use ifref::{
    FibChain, FibEvent, Key, Listener, Listening, Registration, Route, Slot, Text, NAME_SIZE,
};
use kernel::{
    debugfs::Scope,
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        rcu, Arc, SpinLock,
    },
    uaccess::UserSliceReader,
};

module! {
    type: Module,
    name: "ifref_routes",
    authors: ["The ifref developers"],
    description: "ifref sample: a reference for each route",
    license: "GPL",
}

struct Kept {
    dst: Ipv4Addr,
    len: u32,
    via: Slot,
}

impl Kept {
    fn is(&self, route: &Route<'_>) -> bool {
        self.dst == route.dst && self.len == route.len
    }

    fn leads_to(&self, host: Ipv4Addr) -> bool {
        let mask = u32::MAX.checked_shl(32 - self.len).unwrap_or(0);
        (self.dst.to_bits() ^ host.to_bits()) & mask == 0
    }
}

#[pin_data]
struct Routes {
    #[pin]
    kept: SpinLock<KVec<Kept>>,
    #[pin]
    answer: SpinLock<Option<Text<NAME_SIZE>>>,
    refused: Atomic<u64>,
    missed: Atomic<u64>,
    // After what is kept.
    registration: Registration,
}

impl Listener<FibChain> for Routes {
    fn event(self: &Arc<Self>, event: FibEvent<'_>) {
        match event {
            FibEvent::Replace(route) if route.table == Route::MAIN => {
                let via = route.dev.and_then(|dev| {
                    let reference = self.registration.get(Key::Device(dev), GFP_ATOMIC);
                    Some(Slot::new(reference.ok()?))
                });
                let mut kept = self.kept.lock();
                kept.retain(|old| !old.is(&route));
                if let Some(via) = via {
                    let (dst, len) = (route.dst, route.len);
                    if kept.push(Kept { dst, len, via }, GFP_ATOMIC).is_err() {
                        self.missed.add(1, Relaxed);
                    }
                }
            }
            FibEvent::Delete(route) if route.table == Route::MAIN => {
                // One whose interface goes stays, until it is used.
                let section = rcu::read_lock();
                let gone = |via: &Slot| {
                    via.reference()
                        .is_none_or(|of| of.try_follow(&section).is_err())
                };
                self.kept
                    .lock()
                    .retain(|old| !old.is(&route) || gone(&old.via));
            }
            _ => {}
        }
    }
}

impl Routes {
    /// The interface that the best route to `host` leads out by.
    fn look_up(&self, host: Ipv4Addr) -> Option<Text<NAME_SIZE>> {
        let section = rcu::read_lock();
        let mut kept = self.kept.lock();
        loop {
            let leading = kept
                .iter_mut()
                .enumerate()
                .filter(|(_, route)| route.leads_to(host));
            let (at, best) = leading.max_by_key(|(_, route)| route.len)?;
            let followed = best.via.follow(&section).map(|live| live.name());
            match followed {
                Ok(name) => return Some(name),
                Err(_) => drop(kept.remove(at)),
            }
            self.refused.add(1, Relaxed);
        }
    }

    fn ask(&self, from: &mut UserSliceReader) -> Result {
        let mut buf = [0; 16];
        let text = buf.get_mut(..from.len()).ok_or(EINVAL)?;
        from.read_slice(text)?;
        let host = from_utf8(text)
            .ok()
            .and_then(|text| text.trim().parse().ok());
        let answer = self.look_up(host.ok_or(EINVAL)?);
        *self.answer.lock() = answer;
        Ok(())
    }

    fn answer(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.answer.lock() {
            Some(name) => writeln!(to, "{name:?}"),
            None => writeln!(to, "none"),
        }
    }

    fn list(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let section = rcu::read_lock();
        for Kept { dst, len, via } in self.kept.lock().iter() {
            match via.reference().map(|of| of.try_follow(&section)) {
                Some(Ok(live)) => writeln!(to, "{dst}/{len} {:?}", live.name())?,
                _ => writeln!(to, "{dst}/{len} gone")?,
            }
        }
        Ok(())
    }
}

#[pin_data]
struct Module {
    #[pin]
    _files: Scope<Arc<Routes>>,
    _listening: Listening<FibChain, Routes>,
}

impl kernel::InPlaceModule for Module {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            let routes = Arc::pin_init(
                try_pin_init!(Routes {
                    kept <- new_spinlock!(KVec::new()),
                    answer <- new_spinlock!(None),
                    refused: Atomic::new(0),
                    missed: Atomic::new(0),
                    registration: Registration::register(module, "routes")?,
                }? Error),
                GFP_KERNEL,
            )?;
            Ok(try_pin_init!(Self {
                _listening: Listening::new(module, FibChain, routes.clone())?,
                _files <- Scope::dir(routes, c"ifref_routes", |routes, dir| {
                    dir.read_write_callback_file(
                        c"look_up",
                        routes,
                        &|routes: &Arc<Routes>, to: &mut fmt::Formatter<'_>| routes.answer(to),
                        &|routes: &Arc<Routes>, from: &mut UserSliceReader| routes.ask(from),
                    );
                    dir.read_callback_file(
                        c"routes",
                        routes,
                        &|routes: &Arc<Routes>, to: &mut fmt::Formatter<'_>| routes.list(to),
                    );
                    dir.read_only_file(c"refused", &routes.refused);
                    dir.read_only_file(c"missed", &routes.missed);
                }),
            }? Error))
        })
    }
}
