//! Things that only Azure has: logins, dates, a portal, links from page to page, and secrets that are
//! deleted and come back.

mod credentials;
mod defaults;
mod portal;
mod recovery;
