//! The truth of every packet, as the network writes it and as tests and benchmarks read it.
//!
//! A text file, one line a packet, fields separated by one space; a line that begins with `#` is a
//! remark. The first is `# fakewan 1 start WALL MONO seed SEED`, the last, when it ended well, `#
//! end WALL MONO packets N overrun M`, where M packets were lost because the network did not read
//! them in time: with M above zero the log is not the whole truth.
//!
//! | field | is |
//! |---|---|
//! | number | which packet, in the order of arrival; a second reply is a line of its own with the same number |
//! | wall | when it arrived, nanoseconds since 1970 (CLOCK_REALTIME) |
//! | mono | the same in nanoseconds since the boot (CLOCK_BOOTTIME) |
//! | kind | `icmp4`, `icmp6` (echo requests), `tcp`, `udp`, `tcp-back`, `udp-back` (a server's packets), `other` |
//! | from, to | the addresses of the packet that arrived |
//! | id, seq | identifier and sequence number of an echo; source and destination port of TCP and UDP; else 0 |
//! | size | bytes after the ICMP, TCP or UDP header |
//! | ttl | the TTL (hop limit) that it arrived with |
//! | what | `answered`, `duplicate` (answered again), `lost`, `outage`, `refused`, `expired` (TTL), `passed` (a server's packet handed on), `ignored` |
//! | by | who answered or refused, or `-` |
//! | note | the kind of a refusal, `held-back`, TCP flags such as `SA`, or `-` |
//! | planned | nanoseconds from its arrival to the moment planned for the reply, or `-` |
//! | held | nanoseconds from its arrival to the moment when the reply was handed to the kernel, or `-`: **the true RTT** |
//! | unread | at most so many nanoseconds it had lain unread before `mono`; `-` when not known (without `--spin`) |
//! | lag | nanoseconds by which the reply came later than planned, or `-` |
//! | took | nanoseconds that the kernel took to accept the reply, or `-`; the tool's own receipt is a part of it. With `--spin` a part of a reply that follows a pause has gone this way just before, and was dropped by IP: cold caches are not the path's time |
//! | late | 1 when `unread` or `lag` is above the limit, or `took` above three times the limit: leave this packet out for every tool alike; else 0 |
//! | payload | the first 24 bytes of the payload in hexadecimal, or `-` |

use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::path::Path;

/// The names of the fields, as the second line of a log has them.
pub const FIELDS: &str = "number wall mono kind from to id seq size ttl what by note planned held \
    unread lag took late payload";

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Which packet, in the order of arrival.
    pub number: u64,
    /// When it arrived, in nanoseconds since 1970.
    pub wall: i64,
    /// When it arrived, in nanoseconds since the boot.
    pub mono: u64,
    /// The protocol, and which way it went.
    pub kind: Kind,
    /// Who sent it.
    pub from: IpAddr,
    /// To whom.
    pub to: IpAddr,
    /// Identifier, or source port.
    pub id: u16,
    /// Sequence number, or destination port.
    pub seq: u16,
    /// Bytes of payload.
    pub size: u32,
    /// TTL or hop limit.
    pub ttl: u8,
    /// What became of it.
    pub what: What,
    /// Who answered or refused.
    pub by: Option<IpAddr>,
    /// More about it, or empty.
    pub note: Note,
    /// Nanoseconds from the arrival to the planned reply.
    pub planned: Option<u64>,
    /// Nanoseconds from the arrival to the reply: the true RTT.
    pub held: Option<u64>,
    /// The most that it can have lain unread, in nanoseconds.
    pub unread: Option<u64>,
    /// By how much the reply was later than planned, in nanoseconds.
    pub lag: Option<u64>,
    /// How long the kernel took to accept the reply, in nanoseconds.
    pub took: Option<u64>,
    /// Whether the network itself was late.
    pub late: bool,
    /// The first 24 bytes of its payload, or fewer.
    pub payload: Payload,
}

/// A short text that costs no allocation.
pub type Note = Short<20>;
/// The beginning of a payload.
pub type Payload = Short<24>;

/// At most N bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Short<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> Short<N> {
    /// The first N of these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        let len = bytes.len().min(N);
        let mut all = [0; N];
        all[..len].copy_from_slice(&bytes[..len]);
        Self { bytes: all, len: u8::try_from(len).expect("N is below 256") }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// As text, where it is one.
    pub fn text(&self) -> &str {
        std::str::from_utf8(self.bytes()).unwrap_or("?")
    }
}

impl<const N: usize> Default for Short<N> {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl<const N: usize> fmt::Debug for Short<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.bytes()))
    }
}

macro_rules! words {
    ($(#[$of:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$of])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// Its word in the log.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The one of a word.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

words! {
    /// The protocol of a packet, and which way it went.
    Kind {
        /// An ICMP echo request.
        Icmp4 = "icmp4",
        /// An ICMPv6 echo request.
        Icmp6 = "icmp6",
        /// A TCP segment to an address of the network.
        Tcp = "tcp",
        /// A UDP datagram to an address of the network.
        Udp = "udp",
        /// A server's TCP segment.
        TcpBack = "tcp-back",
        /// A server's UDP datagram.
        UdpBack = "udp-back",
        /// Anything else.
        Other = "other",
    }
}

words! {
    /// What became of a packet.
    What {
        /// It was answered.
        Answered = "answered",
        /// It was answered once more.
        Duplicate = "duplicate",
        /// It was dropped by chance.
        Lost = "lost",
        /// It was dropped by an outage.
        Outage = "outage",
        /// An error was sent.
        Refused = "refused",
        /// A router said that its TTL was used up.
        Expired = "expired",
        /// A server's packet was handed on.
        Passed = "passed",
        /// Nothing was done with it.
        Ignored = "ignored",
    }
}

impl Line {
    /// Appends the line, with its end.
    pub fn write(&self, to: &mut String) {
        let field = |to: &mut String, value: Option<u64>| match value {
            Some(value) => _ = write!(to, " {value}"),
            None => to.push_str(" -"),
        };
        let Self { number, wall, mono, from, to: target, id, seq, size, ttl, .. } = self;
        let (kind, what) = (self.kind.word(), self.what.word());
        _ = write!(
            to,
            "{number} {wall} {mono} {kind} {from} {target} {id} {seq} {size} {ttl} {what} "
        );
        match self.by {
            Some(by) => _ = write!(to, "{by} "),
            None => to.push_str("- "),
        }
        to.push_str(if self.note.bytes().is_empty() { "-" } else { self.note.text() });
        for value in [self.planned, self.held, self.unread, self.lag, self.took] {
            field(to, value);
        }
        to.push_str(if self.late { " 1 " } else { " 0 " });
        if self.payload.bytes().is_empty() {
            to.push('-');
        }
        for byte in self.payload.bytes() {
            for digit in [byte >> 4, byte & 15] {
                to.push(char::from_digit(digit.into(), 16).expect("four bits are a digit"));
            }
        }
        to.push('\n');
    }

    /// Reads a line.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split(' ');
        let mut next = || fields.next();
        let maybe = |field: &str| {
            if field == "-" { Some(None) } else { field.parse::<u64>().ok().map(Some) }
        };
        let line = Self {
            number: next()?.parse().ok()?,
            wall: next()?.parse().ok()?,
            mono: next()?.parse().ok()?,
            kind: Kind::from_word(next()?)?,
            from: next()?.parse().ok()?,
            to: next()?.parse().ok()?,
            id: next()?.parse().ok()?,
            seq: next()?.parse().ok()?,
            size: next()?.parse().ok()?,
            ttl: next()?.parse().ok()?,
            what: What::from_word(next()?)?,
            by: match next()? {
                "-" => None,
                by => Some(by.parse().ok()?),
            },
            note: match next()? {
                "-" => Note::default(),
                note => Note::new(note.as_bytes()),
            },
            planned: maybe(next()?)?,
            held: maybe(next()?)?,
            unread: maybe(next()?)?,
            lag: maybe(next()?)?,
            took: maybe(next()?)?,
            late: next()? == "1",
            payload: match next()? {
                "-" => Payload::default(),
                hex => {
                    let byte = |at: usize| {
                        hex.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok())
                    };
                    Payload::new(&(0..hex.len()).step_by(2).map(byte).collect::<Option<Vec<u8>>>()?)
                }
            },
        };
        fields.next().is_none().then_some(line)
    }
}

/// A whole log.
#[derive(Debug, Clone, Default)]
pub struct Truth {
    /// When the network said that it was ready, in nanoseconds since 1970.
    pub start_wall: i64,
    /// The same in nanoseconds since the boot.
    pub start_mono: u64,
    /// The packets, in the order in which they were settled.
    pub lines: Vec<Line>,
    /// How many packets the network did not read in time; [`None`] while it runs, or when it ended
    /// badly.
    pub overrun: Option<u64>,
}

impl Truth {
    /// Reads a log file; a last line that is not whole yet is left out.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|fault| format!("{}: {fault}", path.display()))?;
        Self::parse(&text).map_err(|fault| format!("{}: {fault}", path.display()))
    }

    /// Reads a log.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut truth = Self::default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for (place, line) in whole.lines().enumerate() {
            let fault = || format!("line {}: {line:?} is not of this format", place + 1);
            let Some(remark) = line.strip_prefix("# ") else {
                truth.lines.push(Line::parse(line).ok_or_else(fault)?);
                continue;
            };
            let words: Vec<&str> = remark.split(' ').collect();
            match words[..] {
                ["fakewan", "1", "start", wall, mono, ..] => {
                    truth.start_wall = wall.parse().map_err(|_| fault())?;
                    truth.start_mono = mono.parse().map_err(|_| fault())?;
                }
                ["end", .., "overrun", overrun] => {
                    truth.overrun = Some(overrun.parse().map_err(|_| fault())?)
                }
                _ => {}
            }
        }
        Ok(truth)
    }
}
