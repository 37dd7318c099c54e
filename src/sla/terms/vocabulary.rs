//! The words in which a contract is written: every key whose value is one of a few.

use crate::base::decimal::Rounding;
use crate::sla::calendar::Every;
use crate::sla::reader::words;

words! {
    /// How high in the hierarchy of agreements a contract stands.
    Level {
        /// For all customers of a group.
        Corporate = "corporate",
        /// For one customer.
        Customer = "customer",
        /// For services.
        Service = "service",
    }
}
words! {
    /// One of the two parties.
    Party {
        /// Who buys.
        Customer = "customer",
        /// Who sells.
        Provider = "provider",
    }
}
words! {
    /// Whose figures bind.
    MeasuredBy {
        /// The provider's.
        Provider = "provider",
        /// The customer's.
        Customer = "customer",
        /// Those that both hold.
        Joint = "joint",
    }
}
words! {
    /// What happens at the end.
    Renewal {
        /// It ends.
        None = "none",
        /// It goes on from month to month.
        MonthToMonth = "month_to_month",
    }
}
words! {
    /// From when a service's objectives are judged.
    SlaFrom {
        /// From `in_service_from`.
        Acceptance = "acceptance",
        /// From the first local month that begins at or after it.
        FirstFullMonth = "first_full_month",
    }
}
words! {
    /// Why time is excluded.
    ExclusionKind {
        /// Maintenance that was planned.
        Scheduled = "scheduled_maintenance",
        /// Maintenance that was not.
        Emergency = "emergency_maintenance",
        /// Force majeure.
        ForceMajeure = "force_majeure",
        /// The customer's doing.
        Customer = "customer_caused",
        /// A third party's doing.
        ThirdParty = "third_party",
        /// No power.
        Power = "power",
        /// No access to the site.
        AccessDenied = "access_denied",
        /// Anything else.
        Other = "other",
    }
}
words! {
    /// What an exclusion takes away.
    Removes {
        /// Downtime only.
        Downtime = "downtime",
        /// Downtime, and as much of the period.
        DowntimeAndPeriod = "downtime_and_period",
    }
}
words! {
    /// What is promised.
    Metric {
        /// The share of time that the service was not down.
        Availability = "availability",
        /// Round-trip time.
        Rtt = "rtt",
        /// Packet loss.
        Loss = "loss",
        /// What loss leaves.
        Delivery = "delivery",
        /// Variation of delay.
        Jitter = "jitter",
        /// Mean opinion score, by the simplified E-model.
        Mos = "mos",
        /// How long a restoration takes.
        TimeToRestore = "time_to_restore",
        /// How long the provider takes to tell.
        TimeToNotify = "time_to_notify",
        /// A number that the facts give.
        Count = "count",
    }
}
words! {
    /// How badly a service fails.
    Severity {
        /// Not usable.
        Total = "total",
        /// Usable, but worse than promised.
        Degraded = "degraded",
    }
}
words! {
    /// In what a target is written.
    Unit {
        /// Hundredths.
        Percent = "percent",
        /// Milliseconds.
        Ms = "ms",
        /// A plain number.
        Ratio = "ratio",
        /// Seconds.
        S = "s",
        /// How many.
        Count = "count",
    }
}
words! {
    /// How the actual must stand to the target.
    Op {
        /// At least.
        AtLeast = ">=",
        /// At most.
        AtMost = "<=",
        /// Above.
        Above = ">",
        /// Below.
        Below = "<",
    }
}
words! {
    /// What a late answer is.
    Late {
        /// Good.
        Good = "good",
        /// Failed.
        Failed = "failed",
    }
}
words! {
    /// The figure that stands for many samples.
    Statistic {
        /// Arithmetic mean of RTTs.
        Mean = "mean",
        /// Median RTT.
        P50 = "p50",
        /// RTT that 90 % stay within.
        P90 = "p90",
        /// RTT that 95 % stay within.
        P95 = "p95",
        /// RTT that 99 % stay within.
        P99 = "p99",
        /// RTT that 99.9 % stay within.
        P999 = "p999",
        /// Highest RTT.
        Max = "max",
        /// Share of RTTs above a bound.
        ShareOver = "share_over",
        /// Mean |IPDV| (RFC 5481).
        IpdvMean = "ipdv_mean",
        /// |IPDV| that 95 % stay within.
        IpdvP95 = "ipdv_p95",
        /// |IPDV| that 99 % stay within.
        IpdvP99 = "ipdv_p99",
        /// PDV above the minimum (RFC 5481) that 95 % stay within.
        PdvP95 = "pdv_p95",
        /// PDV above the minimum that 99 % stay within.
        PdvP99 = "pdv_p99",
        /// Highest interarrival jitter of RFC 3550.
        Rfc3550Max = "rfc3550_max",
    }
}

impl Statistic {
    /// Whether it is one of jitter; else it is one of RTT.
    #[must_use]
    pub const fn is_of_jitter(self) -> bool {
        matches!(
            self,
            Self::IpdvMean
                | Self::IpdvP95
                | Self::IpdvP99
                | Self::PdvP95
                | Self::PdvP99
                | Self::Rfc3550Max
        )
    }
}

words! {
    /// How an outage is recognised.
    DefinitionWord {
        /// Failures in a row.
        Misses = "misses",
        /// An interval's loss above a threshold.
        LossRatio = "loss_ratio",
        /// MEF 10.4's sliding window.
        Mef = "mef",
        /// An interval in which nothing was answered.
        TotalLoss = "total_loss",
        /// What the tickets say.
        Ticket = "ticket",
    }
}
words! {
    /// What loss of carrier is.
    CarrierLoss {
        /// Failure.
        Down = "down",
        /// Unknown time.
        Unknown = "unknown",
    }
}
words! {
    /// What unknown time counts as.
    UnknownIs {
        /// Unknown; it lowers coverage.
        Unknown = "unknown",
        /// Good.
        Up = "up",
        /// Downtime.
        Down = "down",
    }
}
words! {
    /// Whose side failed.
    Side {
        /// The provider's.
        Provider = "provider",
        /// The customer's.
        Customer = "customer",
        /// A third party's.
        ThirdParty = "third_party",
        /// Nobody knows.
        Unknown = "unknown",
    }
}
words! {
    /// What becomes of an outage's first part.
    FirstIs {
        /// It does not count.
        Subtracted = "subtracted",
        /// It counts only when the outage is strictly longer.
        Waived = "waived",
    }
}
words! {
    /// Whether an outage over local midnight is one or two.
    Split {
        /// One.
        None = "none",
        /// One for each local day.
        Day = "day",
    }
}
words! {
    /// What availability is a share of.
    DenominatorWord {
        /// The period's real length.
        Actual = "actual",
        /// An agreed number of minutes.
        Fixed = "fixed",
    }
}
words! {
    /// The figure that stands for several restorations or notices.
    EventStatistic {
        /// Their mean.
        Mean = "mean",
        /// The longest.
        Max = "max",
        /// Each by itself; the worst is the actual.
        Each = "each",
    }
}
words! {
    /// What a credit grows with.
    Driver {
        /// One when breached.
        Breach = "breach",
        /// Qualified downtime.
        Downtime = "downtime",
        /// Downtime beyond what the target allows.
        ExcessDowntime = "excess_downtime",
        /// Each qualified outage by itself.
        Event = "event",
        /// Days on which a qualified outage begins.
        Days = "days",
        /// The actual.
        Actual = "actual",
        /// By how much the target was missed.
        Shortfall = "shortfall",
        /// By how many percent of the target it was missed.
        ExcessPercent = "excess_percent",
        /// How many.
        Count = "count",
    }
}
words! {
    /// What a relative credit is a share of.
    Base {
        /// The monthly recurring charge.
        Mrc = "mrc",
        /// The usage charge.
        Usage = "usage",
        /// The greater of the two.
        Greater = "greater_of_mrc_and_usage",
    }
}
words! {
    /// How begun units count.
    UnitRounding {
        /// Each begun unit counts whole.
        Up = "up",
        /// Only whole units count.
        Down = "down",
        /// In proportion.
        Exact = "exact",
    }
}
words! {
    /// What a hole between two tiers earns.
    Gaps {
        /// Nothing.
        NoCredit = "no_credit",
    }
}
words! {
    /// How several credits become one.
    CombineRule {
        /// They add up.
        Sum = "sum",
        /// The highest.
        Max = "max",
        /// The first listed that earns anything.
        First = "first",
    }
}
words! {
    /// A calendar span.
    SpanWord {
        /// A month.
        Month = "month",
        /// A quarter.
        Quarter = "quarter",
        /// A year.
        Year = "year",
    }
}

impl SpanWord {
    /// As a kind of period.
    #[must_use]
    pub const fn every(self) -> Every {
        match self {
            Self::Month => Every::Month,
            Self::Quarter => Every::Quarter,
            Self::Year => Every::Year,
        }
    }
}

words! {
    /// Whether a credit must be asked for.
    ClaimMode {
        /// It comes by itself.
        Automatic = "automatic",
        /// It must be claimed.
        OnRequest = "on_request",
    }
}
words! {
    /// In what a claim's time is counted.
    ClaimUnit {
        /// Calendar days.
        Days = "days",
        /// Monday to Friday less holidays.
        BusinessDays = "business_days",
    }
}
words! {
    /// From when a claim's time is counted.
    CountedFrom {
        /// The event's beginning.
        EventStart = "event_start",
        /// The ticket's closing.
        TicketClosed = "ticket_closed",
        /// The event's end.
        Restored = "restored",
        /// The period's last local day.
        PeriodEnd = "period_end",
    }
}
words! {
    /// How a credit is paid.
    Settled {
        /// On the next invoice.
        NextInvoice = "next_invoice",
        /// As a refund.
        Refund = "refund",
        /// As a lump.
        Lump = "lump",
    }
}
words! {
    /// From when a duty's time runs.
    After {
        /// The event's beginning.
        EventStart = "event_start",
        /// The event's end.
        EventEnd = "event_end",
        /// The period's end.
        PeriodEnd = "period_end",
    }
}
words! {
    /// Rounding, as contracts write it.
    RoundingWord {
        /// Half away from zero.
        HalfUp = "half_up",
        /// Towards zero.
        Down = "down",
        /// Half to even.
        HalfEven = "half_even",
    }
}

impl RoundingWord {
    /// As numbers are rounded.
    #[must_use]
    pub const fn how(self) -> Rounding {
        match self {
            Self::HalfUp => Rounding::HalfUp,
            Self::Down => Rounding::Down,
            Self::HalfEven => Rounding::HalfEven,
        }
    }
}
