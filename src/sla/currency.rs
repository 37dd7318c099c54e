//! ISO 4217: which currencies there are, and how many decimals their minor unit has.

/// Codes whose minor unit is a hundredth.
const HUNDREDTHS: &str = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN \
    BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ \
    GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP \
    MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG \
    SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD \
    XCG YER ZAR ZMW ZWG";
/// Codes without a minor unit.
const WHOLE: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
/// Codes whose minor unit is a thousandth.
const THOUSANDTHS: &str = "BHD IQD JOD KWD LYD OMR TND";
/// Codes whose minor unit is a ten-thousandth.
const TEN_THOUSANDTHS: &str = "CLF UYW";

/// A currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Currency {
    /// Its code, such as `GBP`.
    pub code: String,
    /// Decimals of its minor unit: 2 for GBP, 0 for JPY, 3 for BHD.
    pub decimals: u32,
}

impl Currency {
    /// The currency of this code; absent when ISO 4217 has none.
    #[must_use]
    pub fn get(code: &str) -> Option<Self> {
        let within = |codes: &str| codes.split_ascii_whitespace().any(|each| each == code);
        let decimals = [(HUNDREDTHS, 2), (WHOLE, 0), (THOUSANDTHS, 3), (TEN_THOUSANDTHS, 4)]
            .into_iter()
            .find(|(codes, _)| within(codes))?
            .1;
        Some(Self { code: code.to_owned(), decimals })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_currency_has_the_decimals_of_its_minor_unit() {
        let decimals = |code| Currency::get(code).map(|currency| currency.decimals);
        assert_eq!(["GBP", "JPY", "BHD", "KWD", "TND", "CLF"].map(decimals), [2, 0, 3, 3, 3, 4].map(Some));
        assert_eq!(["gbp", "XYZ", "", "GBP EUR"].map(decimals), [None; 4]);
    }
}
