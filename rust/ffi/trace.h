/* SPDX-License-Identifier: GPL-2.0 */
/* The tracepoints, events/ifref/ in tracefs. Serials and ids are never reused. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM ifref

#if !defined(IFREF_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define IFREF_TRACE_H

#include <linux/tracepoint.h>

/* An interface was adopted: a new serial. */
TRACE_EVENT(ifref_adopt,
	TP_PROTO(u64 serial, const char *name, int ifindex, u32 netns, const char *driver),
	TP_ARGS(serial, name, ifindex, netns, driver),
	TP_STRUCT__entry(
		__field(u64, serial)
		__string(name, name)
		__field(int, ifindex)
		__field(u32, netns)
		__string(driver, driver)
	),
	TP_fast_assign(
		__entry->serial = serial;
		__assign_str(name);
		__entry->ifindex = ifindex;
		__entry->netns = netns;
		__assign_str(driver);
	),
	TP_printk("serial=%llu name=%s ifindex=%d netns=%u driver=%s",
		  __entry->serial, __get_str(name), __entry->ifindex, __entry->netns,
		  __get_str(driver))
);

/* VALID was taken away, by the sign that cause names. */
TRACE_EVENT(ifref_invalidate,
	TP_PROTO(u64 serial, const char *name, const char *cause),
	TP_ARGS(serial, name, cause),
	TP_STRUCT__entry(
		__field(u64, serial)
		__string(name, name)
		__string(cause, cause)
	),
	TP_fast_assign(
		__entry->serial = serial;
		__assign_str(name);
		__assign_str(cause);
	),
	TP_printk("serial=%llu name=%s cause=%s",
		  __entry->serial, __get_str(name), __get_str(cause))
);

/*
 * The removal has ended as far as ifref can see it: the driver's remove has
 * returned (cause=unbind), else the device is off the core's lists. lead_ns is
 * how long before that VALID was taken away.
 */
TRACE_EVENT(ifref_free,
	TP_PROTO(u64 serial, const char *name, const char *cause, u64 lead_ns),
	TP_ARGS(serial, name, cause, lead_ns),
	TP_STRUCT__entry(
		__field(u64, serial)
		__string(name, name)
		__string(cause, cause)
		__field(u64, lead_ns)
	),
	TP_fast_assign(
		__entry->serial = serial;
		__assign_str(name);
		__assign_str(cause);
		__entry->lead_ns = lead_ns;
	),
	TP_printk("serial=%llu name=%s cause=%s lead_ns=%llu",
		  __entry->serial, __get_str(name), __get_str(cause), __entry->lead_ns)
);

/* A removal through devd takes longer than drain_deadline_ms: once for each. */
TRACE_EVENT(ifref_stuck,
	TP_PROTO(u64 serial, const char *name, const char *stage, u64 ms, int softc_holds),
	TP_ARGS(serial, name, stage, ms, softc_holds),
	TP_STRUCT__entry(
		__field(u64, serial)
		__string(name, name)
		__string(stage, stage)
		__field(u64, ms)
		__field(int, softc_holds)
	),
	TP_fast_assign(
		__entry->serial = serial;
		__assign_str(name);
		__assign_str(stage);
		__entry->ms = ms;
		__entry->softc_holds = softc_holds;
	),
	TP_printk("serial=%llu name=%s stage=%s ms=%llu softc_holds=%d",
		  __entry->serial, __get_str(name), __get_str(stage), __entry->ms,
		  __entry->softc_holds)
);

TRACE_EVENT(ifref_ifaddr_new,
	TP_PROTO(u64 id, u64 serial, const struct ifref_addr *addr),
	TP_ARGS(id, serial, addr),
	TP_STRUCT__entry(
		__field(u64, id)
		__field(u64, serial)
		__array(char, addr, 96)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->serial = serial;
		ifref_format(__entry->addr, sizeof(__entry->addr), addr);
	),
	TP_printk("id=%llu serial=%llu addr=%s", __entry->id, __entry->serial, __entry->addr)
);

DECLARE_EVENT_CLASS(ifref_reason,
	TP_PROTO(u64 id, u64 serial, const char *reason),
	TP_ARGS(id, serial, reason),
	TP_STRUCT__entry(
		__field(u64, id)
		__field(u64, serial)
		__string(reason, reason)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->serial = serial;
		__assign_str(reason);
	),
	TP_printk("id=%llu serial=%llu reason=%s",
		  __entry->id, __entry->serial, __get_str(reason))
);

/* An address let go of its interface. */
DEFINE_EVENT(ifref_reason, ifref_ifaddr_invalidate,
	TP_PROTO(u64 id, u64 serial, const char *reason), TP_ARGS(id, serial, reason));

/* A follow was refused and the reference dropped. */
DEFINE_EVENT(ifref_reason, ifref_refused,
	TP_PROTO(u64 id, u64 serial, const char *reason), TP_ARGS(id, serial, reason));

DECLARE_EVENT_CLASS(ifref_ref,
	TP_PROTO(const struct ifref_shards *shards),
	TP_ARGS(shards),
	TP_STRUCT__entry(
		__field(u64, id)
		__field(u64, serial)
		__string(holder, shards->holder)
	),
	TP_fast_assign(
		__entry->id = shards->ifaddr;
		__entry->serial = shards->serial;
		__assign_str(holder);
	),
	TP_printk("id=%llu serial=%llu holder=%s",
		  __entry->id, __entry->serial, __get_str(holder))
);

/* A reference is being taken. */
DEFINE_EVENT(ifref_ref, ifref_ref_get,
	TP_PROTO(const struct ifref_shards *shards), TP_ARGS(shards));

/* A reference is being dropped. */
DEFINE_EVENT(ifref_ref, ifref_ref_put,
	TP_PROTO(const struct ifref_shards *shards), TP_ARGS(shards));

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
