<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** What `validate_business` answers. Generated: do not edit. */
final class ValidateBusinessResult
{
    /** The business that the credentials belong to. */
    public ValidateBusinessBusiness $business;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->business = ValidateBusinessBusiness::read($answer['business']);

        return $result;
    }
}
