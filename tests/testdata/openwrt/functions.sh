# What the init script calls of OpenWrt's, as far as it matters here. uci hands a configuration over
# as shell text ("config probe 'hq'", "option target '192.0.2.1'"): it is run, and each line calls
# back. HERE is the test's directory; what was asked of procd and of the log is in files there.
# shellcheck shell=dash
reset_cb() {
	config_cb() { return 0; }
	option_cb() { return 0; }
	list_cb() { return 0; }
}
reset_cb

package() { return 0; }

config() {
	SECTION_NUMBER=$((SECTION_NUMBER + 1))
	config_cb "$1" "${2:-cfg$SECTION_NUMBER}"
}

option() {
	local key="$1"
	shift
	option_cb "$key" "$*"
}

list() {
	local key="$1"
	shift
	list_cb "$key" "$*"
}

config_load() {
	# Such variables of OpenWrt's own are seen by what it calls back.
	local PACKAGE=$1 DATA
	SECTION_NUMBER=0
	[ -r "$HERE/uci/$PACKAGE" ] || return 1
	DATA=$(cat "$HERE/uci/$PACKAGE")
	eval "$DATA"
	unset DATA
	config_cb
}

uci() { echo OpenWrt; }
logger() {
	shift 5
	echo "$*" >>"$HERE/log"
}
group_add_next() { echo 32768; }
user_exists() { return 0; }
chown() { return 0; }

procd_open_instance() { echo open >>"$HERE/procd"; }
procd_close_instance() { echo close >>"$HERE/procd"; }
procd_set_param() { echo "$*" >>"$HERE/procd"; }
procd_running() { [ -e "$HERE/running" ]; }
procd_send_signal() { echo "signal $*" >>"$HERE/procd"; }
stop() { echo stop >>"$HERE/procd"; }
start() { start_service; }

# shellcheck source=packaging/openwrt/wanproof.init
. "$INIT"
WP_PROGRAM=$WANPROOF
WP_HOME_DIR=$HERE/etc
WP_WRITTEN=$WP_HOME_DIR/agent.toml
WP_RUN=$HERE/run
WP_PING=$HERE/ping_group_range
