//! Exact decimal and rational numbers: money, percentages and ratios are never floats.
//!
//! [`Exact`] holds any rational number. It is read from decimal text, computed with without loss,
//! and rounded only where it is written or where a contract says so.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Mul, Neg, Sub};

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};

/// The most digits that a written number may have; enough for any money or percentage, and a bound
/// on foreign text.
const LONGEST: usize = 60;

/// An exact rational number.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Exact(BigRational);

/// How a number is brought to fewer decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// To the nearest; a half goes away from zero.
    HalfUp,
    /// Towards zero.
    Down,
    /// To the nearest; a half goes to the even neighbour.
    HalfEven,
}

/// A text is not a decimal number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotANumber {
    /// It is something else.
    #[error("{0:?} is not a decimal number: expected digits with at most one point, such as 99.9")]
    Other(String),
    /// It is one, with more digits than are taken.
    #[error("\"{0}…\" is too long: a number may have {LONGEST} digits")]
    TooLong(String),
}

impl Exact {
    /// Zero.
    #[must_use]
    pub fn zero() -> Self {
        Self(BigRational::zero())
    }

    /// One.
    #[must_use]
    pub fn one() -> Self {
        Self(BigRational::one())
    }

    /// A hundred.
    #[must_use]
    pub fn hundred() -> Self {
        Self::from(100)
    }

    /// `numerator / denominator`; absent when the denominator is zero.
    #[must_use]
    pub fn ratio(numerator: impl Into<i128>, denominator: impl Into<i128>) -> Option<Self> {
        let denominator: i128 = denominator.into();
        let numerator: i128 = numerator.into();
        (denominator != 0)
            .then(|| Self(BigRational::new(BigInt::from(numerator), BigInt::from(denominator))))
    }

    /// Nanoseconds as seconds.
    #[must_use]
    pub fn seconds(nanos: impl Into<i128>) -> Self {
        Self::ratio(nanos, 1_000_000_000i128).expect("the denominator is not zero")
    }

    /// Reads a decimal: an optional minus, digits, and at most one point with digits on both sides.
    /// No exponent, no spaces, no separators.
    ///
    /// # Errors
    /// When the text is anything else, or has more than 60 digits.
    pub fn parse(text: &str) -> Result<Self, NotANumber> {
        let fault = || NotANumber::Other(text.chars().take(LONGEST).collect());
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return Err(fault()),
            None => (digits, ""),
        };
        let numeric = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !numeric(whole) || !numeric(fraction) {
            return Err(fault());
        }
        if whole.len() + fraction.len() > LONGEST {
            return Err(NotANumber::TooLong(text.chars().take(20).collect()));
        }
        let number: BigInt = format!("{whole}{fraction}").parse().map_err(|_| fault())?;
        let scale = power_of_ten(u32::try_from(fraction.len()).map_err(|_| fault())?);
        let value = Self(BigRational::new(number, scale));
        Ok(if text.starts_with('-') { -value } else { value })
    }

    /// Whether it is zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0.is_zero()
    }

    /// Whether it is below zero.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.0.is_negative()
    }

    /// Whether it is above zero.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        self.0.is_positive()
    }

    /// Its distance from zero.
    #[must_use]
    pub fn abs(&self) -> Self {
        Self(self.0.abs())
    }

    /// This divided by another; absent when that is zero.
    #[must_use]
    pub fn over(&self, divisor: &Self) -> Option<Self> {
        (!divisor.is_zero()).then(|| Self(&self.0 / &divisor.0))
    }

    /// A hundredth of it.
    #[must_use]
    pub fn hundredth(&self) -> Self {
        Self(&self.0 / &Self::hundred().0)
    }

    /// The smallest whole number that is not below it.
    #[must_use]
    pub fn ceil(&self) -> Self {
        Self(self.0.ceil())
    }

    /// The largest whole number that is not above it.
    #[must_use]
    pub fn floor(&self) -> Self {
        Self(self.0.floor())
    }

    /// As an `i64`, when it is a whole number that fits.
    #[must_use]
    pub fn whole(&self) -> Option<i64> {
        self.0.is_integer().then(|| self.0.to_integer().to_i64()).flatten()
    }

    /// Brought to a number of decimals.
    #[must_use]
    pub fn round(&self, decimals: u32, how: Rounding) -> Self {
        let scale = BigRational::from_integer(power_of_ten(decimals));
        let scaled = self.0.abs() * &scale;
        let below = scaled.floor();
        let rest = &scaled - &below;
        let half = BigRational::new(BigInt::one(), BigInt::from(2));
        let up = match how {
            Rounding::Down => false,
            Rounding::HalfUp => rest >= half,
            Rounding::HalfEven => {
                rest > half || (rest == half && (below.to_integer() % 2i32) != BigInt::zero())
            }
        };
        let rounded = if up { below + BigRational::one() } else { below } / scale;
        Self(if self.0.is_negative() { -rounded } else { rounded })
    }

    /// Written with exactly this many decimals, rounded so: `400.00`.
    #[must_use]
    pub fn fixed(&self, decimals: u32, how: Rounding) -> String {
        let rounded = self.round(decimals, how);
        let scaled = (rounded.0.abs() * BigRational::from_integer(power_of_ten(decimals)))
            .to_integer()
            .to_string();
        let places = decimals as usize;
        let digits = format!("{scaled:0>width$}", width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        let sign = if rounded.is_negative() { "-" } else { "" };
        if places == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
    }

    /// Written with at most this many decimals, cut off, without trailing zeros: `0.5`, `750`.
    #[must_use]
    pub fn trimmed(&self, decimals: u32) -> String {
        let text = self.fixed(decimals, Rounding::Down);
        match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => text,
        }
    }
}

/// Ten to this power.
fn power_of_ten(exponent: u32) -> BigInt {
    BigInt::from(10).pow(exponent)
}

impl From<i64> for Exact {
    fn from(whole: i64) -> Self {
        Self(BigRational::from_integer(BigInt::from(whole)))
    }
}

impl From<u64> for Exact {
    fn from(whole: u64) -> Self {
        Self(BigRational::from_integer(BigInt::from(whole)))
    }
}

impl From<u32> for Exact {
    fn from(whole: u32) -> Self {
        Self::from(u64::from(whole))
    }
}

impl From<i32> for Exact {
    fn from(whole: i32) -> Self {
        Self::from(i64::from(whole))
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident) => {
        impl $trait for Exact {
            type Output = Self;
            fn $method(self, other: Self) -> Self {
                Self(self.0.$method(other.0))
            }
        }
        impl<'a> $trait<&'a Exact> for &'a Exact {
            type Output = Exact;
            fn $method(self, other: &'a Exact) -> Exact {
                Exact((&self.0).$method(&other.0))
            }
        }
    };
}

operator!(Add, add);
operator!(Sub, sub);
operator!(Mul, mul);

impl Neg for Exact {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl Sum for Exact {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::zero(), |sum, each| sum + each)
    }
}

/// At most six decimals, cut off, without trailing zeros.
impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.trimmed(6))
    }
}

impl fmt::Debug for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests;
