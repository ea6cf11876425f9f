// SPDX-License-Identifier: GPL-2.0
/*
 * The shim: packets.
 */
#include <linux/gfp.h>
#include <linux/if_vlan.h>
#include <linux/lockdep.h>
#include <linux/netdevice.h>
#include <linux/rcupdate.h>
#include <linux/sched/mm.h>
#include <linux/skbuff.h>
#include <net/dst.h>

#include "shim.h"

/* linux/gfp.h */

bool ifref_gfp_begin(gfp_t gfp, unsigned int *scope)
{
	*scope = 0;
	if (!gfpflags_allow_blocking(gfp))
		return false;
	if (!(gfp & __GFP_IO))
		*scope = memalloc_noio_save();
	else if (!(gfp & __GFP_FS))
		*scope = memalloc_nofs_save();
	return true;
}

void ifref_gfp_end(unsigned int scope)
{
	memalloc_flags_restore(scope);
}

/* linux/rcupdate.h */

void ifref_rcu_check_section(void)
{
	RCU_LOCKDEP_WARN(!rcu_read_lock_any_held(),
			 "an ifref is followed outside of a read section");
}

/* linux/skbuff.h */

struct sk_buff *ifref_skb_new(unsigned int len, gfp_t gfp)
{
	struct sk_buff *skb = NULL;

	/* alloc_skb() rounds up what it is given, in 32 bits. */
	if (len <= KMALLOC_MAX_SIZE)
		skb = alloc_skb(len, gfp);
	if (skb)
		skb_put_zero(skb, len);
	return skb;
}

struct sk_buff *ifref_skb_clone(struct sk_buff *skb, gfp_t gfp)
{
	return skb_clone(skb, gfp);
}

void ifref_skb_scrub(struct sk_buff *skb)
{
	struct sk_buff *frag;

	lockdep_assert_no_hardirq();
	skb_orphan(skb);
	skb_dst_drop(skb);
	nf_reset_ct(skb);
	skb_ext_reset(skb);
	skb->dev = NULL;
	skb->skb_iif = 0;
	skb_walk_frags(skb, frag)
		frag->dev = NULL;
}

unsigned int ifref_skb_len(const struct sk_buff *skb)
{
	return skb->len;
}

int ifref_skb_transmit(struct sk_buff *skb, struct net_device *dev)
{
	unsigned int most = READ_ONCE(dev->mtu) + dev->hard_header_len + VLAN_HLEN;
	int err = 0;

	/* As packet sockets have it: drivers count on that. */
	if (!pskb_may_pull(skb, max_t(unsigned int, dev->min_header_len, 1)))
		err = -EINVAL;
	else if (skb->len > most && !skb_is_gso(skb))
		err = -EMSGSIZE;
	if (err) {
		kfree_skb(skb);
		return err;
	}
	skb->dev = dev;
	err = dev_queue_xmit(skb);
	return err > 0 ? net_xmit_errno(err) : err;
}

void ifref_skb_free(struct sk_buff *skb)
{
	dev_kfree_skb_any(skb);
}
