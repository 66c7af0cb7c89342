//! What people can subscribe to. Handed in from outside: no plan, option or class of the
//! catalogue is written down in this crate.

/// Whom a plan is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Audience {
    /// Anybody.
    Everybody,
    /// Up to 12 years.
    Child,
    /// 13 to 18.
    Teen,
    /// 19 to 29.
    Young,
    /// Soldiers in service.
    Soldier,
    /// 65 and older.
    Senior,
    /// Residents from abroad.
    Foreigner,
    /// Those who have a welfare class.
    Welfare,
}

impl Audience {
    /// All of them, in the order of their ordinals.
    pub const ALL: [Self; 8] = [
        Self::Everybody,
        Self::Child,
        Self::Teen,
        Self::Young,
        Self::Soldier,
        Self::Senior,
        Self::Foreigner,
        Self::Welfare,
    ];
}

/// A plan, and how many have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanShare {
    /// Code in the catalogue.
    pub code: String,
    /// Share among the plans of the same audience.
    pub weight: u32,
    /// Whom it is for.
    pub audience: Audience,
    /// Half of its users use less data than this in a month, half more.
    pub median_bytes: u64,
}

/// A welfare class, and how many are in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WelfareShare {
    /// Code in the catalogue.
    pub code: String,
    /// Users in a thousand; all classes together at most 1000, the rest has none.
    pub per_mille: u16,
    /// Whether it stands for a hardship or merit, so that plans for [`Audience::Welfare`] are
    /// open to it; the ordinary class does not.
    pub entitles: Entitles,
}

/// See [`WelfareShare::entitles`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entitles {
    /// To nothing: the ordinary class.
    Nothing,
    /// To plans of [`Audience::Welfare`].
    WelfarePlans,
}

/// Everything that can be subscribed to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// Plans; at least one.
    pub plans: Vec<PlanShare>,
    /// Codes of options, the popular ones first: each is taken less often than the one before.
    pub options: Vec<String>,
    /// Welfare classes.
    pub welfare: Vec<WelfareShare>,
}
