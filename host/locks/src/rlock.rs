//! An rlock: one owner at a time, as often as it likes up to a limit.

use crate::holds::Hold;
use crate::rule::Again;

pub(crate) fn again(hold: &Hold, depth_max: u32) -> Again {
    if hold.count < depth_max { Again::Deeper } else { Again::TooDeep }
}
