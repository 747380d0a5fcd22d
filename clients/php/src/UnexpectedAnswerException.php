<?php

declare(strict_types=1);

namespace Nivisco;

/**
 * What arrived is not an answer of the API: the address may be wrong, or a proxy answered.
 */
final class UnexpectedAnswerException extends NiviscoException
{
    public int $httpStatus;

    /** After how many seconds to try again, where the answer says so. */
    public ?int $retryAfter;

    public function __construct(
        int $httpStatus,
        ?int $retryAfter,
        string $requestId,
        ?string $idempotencyKey
    ) {
        parent::__construct(
            "HTTP $httpStatus with what is no answer of the API; check the URL",
            $requestId,
            $idempotencyKey
        );
        $this->httpStatus = $httpStatus;
        $this->retryAfter = $retryAfter;
    }
}
