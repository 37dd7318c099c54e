//! ISO 4217: which currencies there are and were, and how many decimals their minor unit has. Old
//! contracts, and their claims, are in the money of their time.

/// Codes whose minor unit is a hundredth.
const HUNDREDTHS: &str = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV \
    BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN \
    ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR \
    KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN \
    NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP \
    SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES \
    WST XCD XCG YER ZAR ZMW ZWG";
/// Historic codes (list three of ISO 4217) whose minor unit was a hundredth.
const HUNDREDTHS_ONCE: &str = "AFA ALK AOK AON AOR ARA ARP ARY ATS AYM AZM BAD BEC BEL BGJ BGK \
    BGL BGN BOP BRB BRC BRE BRN BRR BUK CHC CSD CSJ CSK CUC CYP DDM DEM ECS ECV EEK ESA ESB FIM \
    FRF GEK GHC GHP GNE GNS GQE GWE GWP HRD HRK IEP ILP ILR ISJ LAJ LSM LTL LTT LUC LUL LVL LVR \
    MLF MRO MTL MTP MVQ MXP MZE MZM NIC NLG PEH PEI PES PLZ RHD ROK ROL RUR SDD SDP SIT SKK SLL \
    SRG STD SUR TJR TMM UAK UGS UGW USS UYN UYP VEB VEF VNC XEU YDD YUD YUM YUN ZAL ZMK ZRN ZRZ \
    ZWC ZWD ZWL ZWN ZWR";
/// Historic codes without a minor unit.
const WHOLE_ONCE: &str = "ADP BEF BYB BYR ESP GRD ITL LUF MGF PTE TPE TRL";
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
        let now = [(HUNDREDTHS, 2), (WHOLE, 0), (THOUSANDTHS, 3), (TEN_THOUSANDTHS, 4)];
        let decimals = now
            .into_iter()
            .chain([(HUNDREDTHS_ONCE, 2), (WHOLE_ONCE, 0)])
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
        assert_eq!(
            ["GBP", "JPY", "BHD", "KWD", "TND", "CLF"].map(decimals),
            [2, 0, 3, 3, 3, 4].map(Some)
        );
        assert_eq!(["DEM", "ITL", "BGN", "HRK", "TRL"].map(decimals), [2, 0, 2, 2, 0].map(Some));
        assert_eq!(["gbp", "XYZ", "", "GBP EUR"].map(decimals), [None; 4]);
    }
}
