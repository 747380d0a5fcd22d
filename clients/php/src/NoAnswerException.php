<?php

declare(strict_types=1);

namespace Nivisco\Payments;

/** No usable answer came: unreachable, too late, cut off or not JSON. */
final class NoAnswerException extends NiviscoException
{
    public function isOutcomeUnknown(): bool
    {
        return $this->getIdempotencyKey() !== null;
    }
}
