# Four routers in a row between a host and a target, each in a network namespace of its own, in IPv4
# and IPv6. Run in a mount and a network namespace of its own: all of it is gone with them. Then
# runs its arguments on the host, which is this namespace.
#   host --1-- r1 --2-- r2 --3-- r3 --4-- r4 --5-- target     10.9.N.0/24, fd09:N::/64
set -eu
# Where there is no room for names of namespaces, there is now.
mount -t tmpfs none /run
mkdir -p /run/netns
chain="h r1 r2 r3 r4 t"

on() { # on NODE COMMAND...
    node=$1
    shift
    if [ "$node" = h ]; then "$@"; else ip netns exec "$node" "$@"; fi
}

for node in $chain; do
    [ "$node" = h ] || ip netns add "$node"
    on "$node" ip link set lo up
    on "$node" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 \
        net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0 \
        net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
done

link=0
before=
for node in $chain; do
    if [ -n "$before" ]; then
        link=$((link + 1))
        left="l$link" right="k$link"
        ip link add "$left" type veth peer name "$right"
        [ "$before" = h ] || ip link set "$left" netns "$before"
        ip link set "$right" netns "$node"
        for side in "$before $left 1" "$node $right 2"; do
            of=${side%% *} rest=${side#* }
            name=${rest% *} number=${rest#* }
            on "$of" ip address add "10.9.$link.$number/24" dev "$name"
            on "$of" ip address add "fd09:$link::$number/64" dev "$name" nodad
            on "$of" ip link set "$name" up
        done
    fi
    before=$node
done

# The way there leads right, the way back left.
place=0
for node in $chain; do
    if [ "$node" != t ]; then
        ahead=$((place + 1))
        on "$node" ip route add 10.9.5.2/32 via "10.9.$ahead.2" 2>/dev/null || true
        on "$node" ip -6 route add fd09:5::2/128 via "fd09:$ahead::2" 2>/dev/null || true
        # Towards each link on the right.
        for far in 1 2 3 4 5; do
            if [ "$far" -gt "$ahead" ]; then
                on "$node" ip route add "10.9.$far.0/24" via "10.9.$ahead.2"
                on "$node" ip -6 route add "fd09:$far::/64" via "fd09:$ahead::2"
            fi
        done
    fi
    if [ "$node" != h ]; then
        for near in 1 2 3 4 5; do
            if [ "$near" -lt "$place" ]; then
                on "$node" ip route add "10.9.$near.0/24" via "10.9.$place.1"
                on "$node" ip -6 route add "fd09:$near::/64" via "fd09:$place::1"
            fi
        done
    fi
    place=$((place + 1))
done

# What is lost: LOSS is every so manyth packet that r3 forwards to the right, LIMIT every so manyth
# answer of r2's own.
if [ -n "${LOSS:-}" ]; then
    on r3 nft "add table inet t; add chain inet t f { type filter hook forward priority 0; };
        add rule inet t f oifname l4 meta l4proto { icmp, icmpv6, udp, tcp } numgen inc mod $LOSS == 0 drop"
fi
if [ -n "${LIMIT:-}" ]; then
    on r2 nft "add table inet t; add chain inet t o { type filter hook output priority 0; };
        add rule inet t o icmp type time-exceeded numgen inc mod $LIMIT == 0 drop;
        add rule inet t o icmpv6 type time-exceeded numgen inc mod $LIMIT == 0 drop"
fi
if [ -n "${PROHIBIT:-}" ]; then
    on r3 nft "add table inet t; add chain inet t f { type filter hook forward priority 0; };
        add rule inet t f oifname l4 reject with icmpx type admin-prohibited"
fi
exec "$@"
