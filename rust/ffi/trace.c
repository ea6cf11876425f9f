// SPDX-License-Identifier: GPL-2.0
/*
 * The shim: tracepoints. shim.h is the ABI of all of the shim, and no logic lives in it.
 */
#include <linux/netdevice.h>

#include "compat.h"
#include "shim.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

/* Where they are inlined their static keys are tested. */
EXPORT_TRACEPOINT_SYMBOL_GPL(ifref_ref_get);
EXPORT_TRACEPOINT_SYMBOL_GPL(ifref_ref_put);

void ifref_trace_adopt(unsigned long long serial, const char *name, int ifindex,
		       unsigned int netns, const char *driver)
{
	trace_ifref_adopt(serial, name, ifindex, netns, driver);
}

void ifref_trace_invalidate(unsigned long long serial, const char *name, const char *cause)
{
	trace_ifref_invalidate(serial, name, cause);
}

void ifref_trace_free(unsigned long long serial, const char *name, const char *cause,
		      unsigned long long lead_ns)
{
	trace_ifref_free(serial, name, cause, lead_ns);
}

void ifref_trace_stuck(unsigned long long serial, const char *name, const char *stage,
		       unsigned long long ms, int softc_holds)
{
	trace_ifref_stuck(serial, name, stage, ms, softc_holds);
}

void ifref_trace_ifaddr_new(unsigned long long id, unsigned long long serial,
			    const struct ifref_addr *addr)
{
	trace_ifref_ifaddr_new(id, serial, addr);
}

void ifref_trace_ifaddr_invalidate(unsigned long long id, unsigned long long serial,
				   const char *reason)
{
	trace_ifref_ifaddr_invalidate(id, serial, reason);
}

void ifref_trace_refused(unsigned long long id, unsigned long long serial, const char *reason)
{
	trace_ifref_refused(id, serial, reason);
}
