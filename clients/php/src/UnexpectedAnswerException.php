<?php

declare(strict_types=1);

namespace Nivisco;

/**
 * What arrived is not an answer of the API: the address may be wrong, or a proxy answered.
 */
final class UnexpectedAnswerException extends NiviscoException
{
    public int $httpStatus;

    public function __construct(int $httpStatus, string $requestId, ?string $idempotencyKey)
    {
        parent::__construct(
            "HTTP $httpStatus with what is no answer of the API; check the URL",
            $requestId,
            $idempotencyKey
        );
        $this->httpStatus = $httpStatus;
    }
}
