// SPDX-License-Identifier: GPL-2.0

//! The driver of tests/rig once more, in Rust: it does what the tests tell it, at the times that
//! they want, by the same commands, and its state has the same words.

use core::{
    ffi::c_void,
    ptr, //
};
use ifref::{
    nic::{
        Attachment,
        Config,
        Driver,
        Held,
        Nic,
        Operations,
        Skb,
        Veto, //
    },
    Text, //
};
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    ffi::{c_char, c_int, c_uint},
    impl_has_hr_timer, new_mutex,
    prelude::*,
    str::{
        CStrExt,
        CString, //
    },
    sync::{
        atomic::{Atomic, Relaxed},
        global_lock,
        Arc,
        ArcBorrow,
        Mutex,
        SetOnce, //
    },
    time::{
        delay::{
            fsleep,
            udelay, //
        },
        hrtimer::{
            ArcHrTimerHandle,
            HrTimer,
            HrTimerCallback,
            HrTimerCallbackContext,
            HrTimerPointer,
            HrTimerRestart,
            RelativeHardMode, //
        },
        Delta,
        Instant,
        Monotonic, //
    },
};

module! {
    type: Module,
    name: "ifref_rig_rust",
    authors: ["The ifref developers"],
    description: "ifref test: a driver in Rust that does what it is told",
    license: "GPL",
}

/// How many NICs there may be: RIG_NICS.
const NICS: usize = 64;

// params.c
extern "C" {
    fn rig_make_link(name: *const c_char);
    fn rig_under_rtnl(run: unsafe extern "C" fn(*mut c_void), ctx: *mut c_void);
    fn rig_on_each_cpu(run: unsafe extern "C" fn(*mut c_void), ctx: *mut c_void);
    fn rig_dev_hold(at: c_uint, name: *const c_char) -> c_int;
    fn rig_dev_put(at: c_uint) -> c_int;
}

global_lock! {
    // SAFETY: initialised in the module's entry, before anything else.
    unsafe(uninit) static RIG: Mutex<Option<Arc<Rig>>> = None;
}

fn rig() -> Result<Arc<Rig>> {
    RIG.lock().clone().ok_or(EAGAIN)
}

/// What a NIC is told, and what became of it: for longer than it exists.
#[pin_data]
struct Record {
    at: usize,
    /// It can be deleted as a link.
    is_link: bool,
    made: Instant<Monotonic>,

    no: Atomic<i32>,
    again_ms: Atomic<i32>,
    ask_ms: Atomic<i32>,
    quiesce_ms: Atomic<i32>,
    open_ms: Atomic<i32>,
    xmit_ms: Atomic<i32>,
    free_ms: Atomic<i32>,
    /// Which one its free is to detach, or -1; itself: to wait for.
    in_free: Atomic<i32>,
    /// Whether its open is to detach it.
    in_open: Atomic<i32>,

    err: Atomic<i32>,
    wait: Atomic<i32>,
    asked: Atomic<i32>,
    quiesced: Atomic<i32>,
    freed: Atomic<i32>,
    sent: Atomic<i32>,
    late: Atomic<i32>,
    opened: Atomic<i32>,
    inside: Atomic<i32>,
    early: Atomic<i32>,

    /// Who is in `detach`, to compare, and how many are.
    detacher: Atomic<usize>,
    in_detach: Atomic<i32>,
    begun: Atomic<i64>,
    detach_ns: Atomic<i64>,
    took_us: Atomic<i64>,

    attachment: SetOnce<Attachment<Softc>>,
    #[pin]
    holds: Mutex<KVec<Held<Softc>>>,
    held: Atomic<i32>,
    #[pin]
    timer: HrTimer<Self>,
    #[pin]
    running: Mutex<Option<ArcHrTimerHandle<Self>>>,
}

impl_has_hr_timer! {
    impl HasHrTimer<Self> for Record {
        mode: RelativeHardMode<Monotonic>, field: self.timer
    }
}

impl HrTimerCallback for Record {
    type Pointer<'a> = Arc<Self>;

    fn run(this: ArcBorrow<'_, Self>, _: HrTimerCallbackContext<'_, Self>) -> HrTimerRestart {
        this.gone(0);
        HrTimerRestart::NoRestart
    }
}

/// The task that runs, to compare.
fn task() -> usize {
    kernel::current!().as_ptr().addr()
}

impl Record {
    fn new(at: usize, kind: i32) -> Result<Arc<Self>> {
        let zero = || Atomic::new(0i32);
        Arc::pin_init(
            pin_init!(Self {
                at,
                is_link: kind & 2 != 0,
                made: Instant::now(),
                no: zero(),
                again_ms: zero(),
                ask_ms: zero(),
                quiesce_ms: zero(),
                open_ms: zero(),
                xmit_ms: zero(),
                free_ms: zero(),
                in_free: Atomic::new(-1),
                in_open: zero(),
                err: zero(),
                wait: zero(),
                asked: zero(),
                quiesced: zero(),
                freed: zero(),
                sent: zero(),
                late: zero(),
                opened: zero(),
                inside: zero(),
                early: zero(),
                detacher: Atomic::new(0),
                in_detach: zero(),
                begun: Atomic::new(0),
                detach_ns: Atomic::new(0),
                took_us: Atomic::new(0),
                attachment: SetOnce::new(),
                holds <- new_mutex!(KVec::new()),
                held: zero(),
                timer <- HrTimer::new(),
                running <- new_mutex!(None),
            }),
            GFP_KERNEL,
        )
    }

    fn name(&self) -> Result<CString> {
        CString::try_from_fmt(fmt!("rig{}", self.at))
    }

    fn now(&self) -> i64 {
        self.made.elapsed().as_nanos()
    }

    fn attachment(&self) -> Result<&Attachment<Softc>> {
        self.attachment.as_ref().ok_or(ENODEV)
    }

    fn knob(&self, name: &[u8]) -> Option<&Atomic<i32>> {
        Some(match name {
            b"no" => &self.no,
            b"again_ms" => &self.again_ms,
            b"ask_ms" => &self.ask_ms,
            b"quiesce_ms" => &self.quiesce_ms,
            b"open_ms" => &self.open_ms,
            b"xmit_ms" => &self.xmit_ms,
            b"free_ms" => &self.free_ms,
            b"in_free" => &self.in_free,
            b"in_open" => &self.in_open,
            _ => return None,
        })
    }

    fn attach(self: &Arc<Self>, driver: &Driver<Softc>) -> Result {
        let name = self.name()?;
        let config = Config {
            name: name.to_str()?,
            ..Config::default()
        };
        let softc = Softc {
            record: self.clone(),
            quiet: Atomic::new(false),
        };
        let attached = Attachment::new(driver, &config, softc);
        let err = attached.as_ref().map_or_else(|err| err.to_errno(), |_| 0);
        self.err.store(err, Relaxed);
        if let Ok(attachment) = attached {
            self.attachment.populate(attachment);
            if self.is_link {
                // SAFETY: a string.
                unsafe { rig_make_link(name.as_char_ptr()) };
            }
        }
        Ok(())
    }

    /// Says that the hardware has gone. Any context; `task` is 0 in an interrupt.
    fn gone(&self, task: usize) {
        let Ok(attachment) = self.attachment() else {
            return;
        };
        let begun = self.now();
        self.begun.store(begun, Relaxed);
        self.detacher.store(task, Relaxed);
        self.in_detach.add(1, Relaxed);
        attachment.detach();
        self.in_detach.add(-1, Relaxed);
        self.detach_ns.store(self.now() - begun, Relaxed);
    }

    fn wait(&self) -> Result {
        let wait = self.attachment()?.wait();
        let err = wait.map_or_else(|err| err.to_errno(), |()| 0);
        self.wait.store(err, Relaxed);
        Ok(())
    }

    fn hold(&self) -> Result {
        let held = self.attachment()?.hold().ok_or(ENODEV)?;
        self.held.add(1, Relaxed);
        self.holds.lock().push(held, GFP_KERNEL)?;
        Ok(())
    }

    fn release(&self) -> Result {
        let held = self.holds.lock().pop().ok_or(ENODEV)?;
        self.held.add(-1, Relaxed);
        drop(held);
        Ok(())
    }

    /// Stops its timer, for which it is kept.
    fn stop_timer(&self) {
        drop(self.running.lock().take());
    }
}

/// The softc.
struct Softc {
    record: Arc<Record>,
    quiet: Atomic<bool>,
}

fn sleep(ms: &Atomic<i32>) {
    match ms.load(Relaxed) {
        0 => {}
        ms => fsleep(Delta::from_millis(ms.into())),
    }
}

impl Softc {
    /// In what must not come after `quiesce`.
    fn seen(&self) -> &Record {
        if self.quiet.load(Relaxed) {
            self.record.late.add(1, Relaxed);
        }
        &self.record
    }
}

#[vtable]
impl Operations for Softc {
    const NAME: &'static str = "rig_rust";

    fn start_xmit(&self, _nic: &Nic<Self>, _skb: Skb) {
        // It must not be quiet at the end, either.
        for _ in 0..self.record.xmit_ms.load(Relaxed) {
            udelay(Delta::from_millis(1));
        }
        self.seen().sent.add(1, Relaxed);
    }

    fn open(&self, nic: &Nic<Self>) -> Result {
        self.record.opened.add(1, Relaxed);
        sleep(&self.record.open_ms);
        if self.seen().in_open.load(Relaxed) != 0 {
            nic.weak().detach();
        }
        Ok(())
    }

    fn may_detach(&self, _nic: &Nic<Self>) -> Result<(), Veto> {
        // What is wanted while it thinks it over is not in its answer.
        let no = self.record.no.load(Relaxed) != 0;
        self.record.asked.add(1, Relaxed);
        sleep(&self.record.ask_ms);
        if !no {
            return Ok(());
        }
        Err(Veto {
            reason: Text::from("firmware is being written"),
            again_ms: self.record.again_ms.load(Relaxed) as u32,
        })
    }

    fn quiesce(&self, _nic: &Nic<Self>) {
        self.quiet.store(true, Relaxed);
        sleep(&self.record.quiesce_ms);
        self.record.quiesced.add(1, Relaxed);
    }
}

impl Drop for Softc {
    fn drop(&mut self) {
        let record = &*self.record;
        if record.quiesced.load(Relaxed) == 0 && record.attachment().is_err() {
            // It could not be attached.
            return;
        }
        if record.in_detach.load(Relaxed) != 0 && record.detacher.load(Relaxed) == task() {
            record.inside.add(1, Relaxed);
        }
        if record.quiesced.load(Relaxed) != 1 || record.held.load(Relaxed) != 0 {
            record.early.add(1, Relaxed);
        }
        sleep(&record.free_ms);
        match record.in_free.load(Relaxed).try_into() {
            Ok(at) if at == record.at => drop(record.wait()),
            Ok(at) => drop(
                rig()
                    .and_then(|rig| rig.record(at))
                    .map(|other| other.gone(task())),
            ),
            Err(_) => {}
        }
        let took = (record.now() - record.begun.load(Relaxed)) / 1000;
        record.took_us.store(took, Relaxed);
        record.freed.add(1, Relaxed);
    }
}

/// All of them, and their driver.
#[pin_data]
struct Rig {
    #[pin]
    driver: Mutex<Option<Driver<Softc>>>,
    #[pin]
    records: Mutex<[Option<Arc<Record>>; NICS]>,
    /// Whether no timer is to be started any more.
    over: Atomic<bool>,
}

impl Rig {
    fn record(&self, at: usize) -> Result<Arc<Record>> {
        self.records.lock().get(at).cloned().flatten().ok_or(ENODEV)
    }

    fn make(&self, at: usize, kind: i32) -> Result {
        let record = Record::new(at, kind)?;
        let old = self
            .records
            .lock()
            .get_mut(at)
            .ok_or(EINVAL)?
            .replace(record);
        if let Some(old) = old {
            old.stop_timer();
        }
        Ok(())
    }

    /// Attaches one. Commands run side by side, but attach one after the other.
    fn attach(&self, record: &Arc<Record>) -> Result {
        let driver = self.driver.lock();
        record.attach(driver.as_ref().ok_or(EAGAIN)?)
    }

    fn fire(&self, record: &Arc<Record>, after_us: i32) -> Result {
        record.stop_timer();
        let mut running = record.running.lock();
        if self.over.load(Relaxed) {
            return Err(EAGAIN);
        }
        *running = Some(record.clone().start(Delta::from_micros(after_us.into())));
        Ok(())
    }

    fn carry_out(&self, name: &[u8], at: usize, arg: i32) -> Result {
        if name == b"make" {
            return self.make(at, arg);
        }
        let record = self.record(at)?;
        if let Some(knob) = record.knob(name) {
            knob.store(arg, Relaxed);
            return Ok(());
        }
        match name {
            b"attach" => self.attach(&record)?,
            b"attach_rtnl" => under_rtnl(|| self.attach(&record))?,
            b"gone" => record.gone(task()),
            b"irq" => self.fire(&record, arg)?,
            b"twice" => on_each_cpu(&record),
            // Every NIC from this one to arg, at once.
            b"range" => {
                for at in at..=arg.try_into()? {
                    self.record(at)?.gone(task());
                }
            }
            b"orderly" => record.attachment()?.ask_detach(),
            b"wait" => record.wait()?,
            b"wait_rtnl" => under_rtnl(|| record.wait())?,
            b"hold_softc" => record.hold()?,
            b"release_softc" => record.release()?,
            // SAFETY: a string.
            b"dev_hold" => unsafe {
                let name = record.name()?;
                to_result(rig_dev_hold(at as c_uint, name.as_char_ptr()))?;
            },
            // SAFETY: a number below NICS.
            b"dev_put" => to_result(unsafe { rig_dev_put(at as c_uint) })?,
            _ => return Err(EINVAL),
        }
        Ok(())
    }
}

fn under_rtnl<F: FnMut() -> Result>(mut run: F) -> Result {
    struct Call<'a, F>(&'a mut F, Result);

    /// # Safety
    ///
    /// `ctx` is a call.
    unsafe extern "C" fn call<F: FnMut() -> Result>(ctx: *mut c_void) {
        // SAFETY: the caller's promise; nobody else uses it.
        let call = unsafe { &mut *ctx.cast::<Call<'_, F>>() };
        call.1 = (call.0)();
    }

    let mut ctx = Call(&mut run, Ok(()));
    // SAFETY: `call` gets what it was made for.
    unsafe { rig_under_rtnl(call::<F>, (&raw mut ctx).cast()) };
    ctx.1
}

/// Detaches one on each CPU at once, with interrupts off.
fn on_each_cpu(record: &Record) {
    /// # Safety
    ///
    /// `ctx` is a record.
    unsafe extern "C" fn call(ctx: *mut c_void) {
        // SAFETY: the caller's promise.
        unsafe { &*ctx.cast::<Record>() }.gone(0);
    }

    // SAFETY: `call` gets a record, which is there until all have returned.
    unsafe { rig_on_each_cpu(call, ptr::from_ref(record).cast_mut().cast()) };
}

/// A command, from params.c.
///
/// # Safety
///
/// `name` is a string.
#[no_mangle]
unsafe extern "C" fn rig_do(name: *const c_char, at: c_uint, arg: c_int) -> c_int {
    // SAFETY: the caller's promise.
    let name = unsafe { CStr::from_char_ptr(name) };
    from_result(|| {
        rig()?
            .carry_out(name.to_bytes(), at as usize, arg)
            .map(|()| 0)
    })
}

/// Writes a NIC's line of the state, and returns its length; from params.c.
///
/// # Safety
///
/// There is room for `size` bytes at `to`.
#[no_mangle]
unsafe extern "C" fn rig_state(at: c_uint, to: *mut u8, size: usize) -> c_int {
    let line = || -> Result<CString> {
        let record = rig()?.record(at as usize)?;
        let show = |number: &Atomic<i32>| number.load(Relaxed);
        CString::try_from_fmt(fmt!(
            "{at} err={} wait={} asked={} quiesced={} freed={} sent={} late={} opened={} inside={} \
             early={} ns={} took={}\n",
            show(&record.err),
            show(&record.wait),
            show(&record.asked),
            show(&record.quiesced),
            show(&record.freed),
            show(&record.sent),
            show(&record.late),
            show(&record.opened),
            show(&record.inside),
            show(&record.early),
            record.detach_ns.load(Relaxed),
            record.took_us.load(Relaxed)
        ))
    };
    let Ok(line) = line() else {
        return 0;
    };
    let bytes = line.to_bytes();
    let len = bytes.len().min(size);
    // SAFETY: the caller's promise.
    unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), len) };
    len as c_int
}

struct Module(());

impl kernel::Module for Module {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        // SAFETY: once, and before a command comes.
        unsafe { RIG.init() };
        let rig = Arc::pin_init(
            try_pin_init!(Rig {
                driver <- new_mutex!(Some(Driver::register()?)),
                records <- new_mutex!([const { None }; NICS]),
                over: Atomic::new(false),
            }? Error),
            GFP_KERNEL,
        )?;
        *RIG.lock() = Some(rig);
        Ok(Self(()))
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        let Ok(rig) = rig() else { return };
        let driver = rig.driver.lock().take();
        drop(driver);
        let rig = RIG.lock().take().unwrap_or(rig);
        rig.over.store(true, Relaxed);
        let (mut made, mut freed) = (0, 0);
        for at in 0..NICS {
            let Ok(record) = rig.record(at) else { continue };
            record.stop_timer();
            made += 1;
            freed += record.freed.load(Relaxed);
        }
        pr_info!("unloaded: {made} attached, {freed} freed\n");
    }
}
